/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of the report's page, of the live page and of a campaign's, as the Makefile has put them together. */
	.section .rodata
	.global page_frame, page_frame_end, live_frame, live_frame_end, campaign_frame, campaign_frame_end
page_frame:
	.incbin PAGE
page_frame_end:
live_frame:
	.incbin LIVE
live_frame_end:
campaign_frame:
	.incbin CAMPAIGN
campaign_frame_end:
	.section .note.GNU-stack, "", %progbits
