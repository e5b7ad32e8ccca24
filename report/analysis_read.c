/* SPDX-License-Identifier: BSD-2-Clause */
/* analysis_read: chooses the reader for a capture and runs the analysis. */
#include "base/memory.h"
#include "report/analysis_inside.h"

static int read_files(struct analysis *analysis, struct inputs *inputs, const struct analysis_filter *filter,
    struct error *error)
{
	struct reader *reader = reader_open(inputs, error);
	bool is_ours;

	if (!reader)
		return -1;
	is_ours = reader_is_ours(reader);
	if (is_ours)
		analysis_read_ours(analysis, reader);
	reader_close(reader);
	return is_ours ? 0 : analysis_read_bare(analysis, inputs, filter, error);
}

struct analysis *analysis_read(struct inputs *inputs, const struct analysis_filter *filter,
    enum analysis_detail detail, struct error *error)
{
	struct analysis *analysis = memory_new(1, sizeof(*analysis));

	analysis->brief = detail == ANALYSIS_BRIEF;
	analysis->result.exit = -1;
	if (read_files(analysis, inputs, filter, error)) {
		analysis_free(analysis);
		return NULL;
	}
	analysis_end(analysis);
	return analysis;
}
