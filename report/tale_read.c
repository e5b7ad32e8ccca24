/* tale_read: which reader a capture needs, and the tale from its first packet to its figures. */
#include "base/memory.h"
#include "report/tale_inside.h"

static int read_files(
    struct tale *tale, struct inputs *inputs, const struct tale_wish *wish, struct error *error)
{
	struct reader *reader = reader_open(inputs, error);
	bool is_ours;

	if (!reader)
		return -1;
	is_ours = reader_is_ours(reader);
	if (is_ours)
		tale_read_ours(tale, reader);
	reader_close(reader);
	return is_ours ? 0 : tale_read_bare(tale, inputs, wish, error);
}

struct tale *tale_read(
    struct inputs *inputs, const struct tale_wish *wish, enum tale_detail detail, struct error *error)
{
	struct tale *tale = memory_new(1, sizeof(*tale));

	tale->brief = detail == TALE_BRIEF;
	tale->sheet.exit = -1;
	if (read_files(tale, inputs, wish, error)) {
		tale_free(tale);
		return NULL;
	}
	tale_end(tale);
	return tale;
}
