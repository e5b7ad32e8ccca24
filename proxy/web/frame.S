/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of the report's page and of the live page, as the Makefile has put them together. */
	.section .rodata
	.global page_frame, page_frame_end, live_frame, live_frame_end
page_frame:
	.incbin PAGE
page_frame_end:
live_frame:
	.incbin LIVE
live_frame_end:
	.section .note.GNU-stack, "", %progbits
