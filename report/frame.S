/* The page's frame, as the Makefile has put it together. */
	.section .rodata
	.global page_frame, page_frame_end
page_frame:
	.incbin FRAME
page_frame_end:
	.section .note.GNU-stack, "", %progbits
