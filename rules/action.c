/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of a value are split at blanks once; the parser of its action then checks their number and
 * values, and says what would be right.
 */
#include "rules/action.h"

#include <string.h>

#include "base/text.h"
#include "base/ini.h"

const struct action_row action_table[ACT_COUNT] = {
    [ACT_DROP] = {"drop", "", "drop the datagram", false},
    [ACT_DELAY] = {"delay", "T", "T of delay in addition to the link's", false},
    [ACT_HOLD] = {"hold", "N [either]",
        "sent after N later datagrams (at most 65535) of its direction, or of either, have been sent, or "
        "after 1s",
        false},
    [ACT_DUPLICATE] = {"duplicate", "[N] [T]", "N more copies (1; at most 1000), each T after the other (0)",
        false},
    [ACT_CORRUPT] = {"corrupt", "[N] [at BYTE]",
        "N bits flipped (1; at most 64), at positions drawn from the seed, or the N lowest bits of byte "
        "BYTE, then of the next",
        false},
    [ACT_SET] = {"set", "BYTE VALUE", "that byte becomes VALUE (0-255)", false},
    [ACT_DECOY] = {"decoy", "[N] [at BYTE]",
        "a copy with these bits flipped (at most 64) is sent just before the untouched datagram", false},
    [ACT_TRUNCATE] = {"truncate", "N", "cut to N bytes", false},
    [ACT_REPLAY] = {"replay", "N or KIND",
        "the datagram N before this one (at most 64), or the session's first with a record of this dtls "
        "kind, is sent again after this one",
        false},
    [ACT_PERMUTE] = {"permute", "ORDER",
        "groups of as many matched datagrams as ORDER has numbers are held until the group is whole (or for "
        "1s) and sent in that order: `permute 3 1 2`",
        false},
    [ACT_INJECT] = {"inject", "HEX", "a datagram of these bytes is sent after this one, the same way", false},
    [ACT_PACK] = {"pack", "T [SIZE]",
        "this datagram and the next ones of its direction leave as one, T after the first, or earlier, "
        "before it would grow past SIZE (1400 bytes)",
        false},
    [ACT_BLACKOUT] = {"blackout", "T [both or up or down] [drop or hold]",
        "from now, for T, nothing that arrives passes (default: both, drop); `hold` keeps it and releases "
        "it, in order, when the blackout ends; `blackout 0` ends running blackouts",
        true},
    [ACT_REBIND] = {"rebind", "[port or address]",
        "the NAT mapping is replaced: the next up datagram leaves from a new source port (`address`: also "
        "from the next `source`)",
        true},
    [ACT_LINK] = {"link", "NAME", "the session switches to another link", true},
    [ACT_UPSTREAM] = {"upstream", "HOST:PORT or back",
        "from the next up datagram on the session goes to that server, from the same source port (a "
        "failover, a "
        "balancer that moves it), or back to its own; what the other one still sends drops with reason "
        "filtered",
        true},
    [ACT_BYPASS] = {"bypass", "", "the link is skipped: sent at once", false},
    [ACT_NOTE] = {"note", "", "does nothing but be counted and recorded in the capture", true},
};

#define WORDS_MAX 24

struct words {
	char *all[WORDS_MAX];
	size_t count;
};

static int usage_error(struct reading *reading, enum act act)
{
	const struct action_row *row = &action_table[act];

	return error_set(&reading->error, "`%s` is not right; it is written `%s%s%s`", reading->entry->value,
	    row->word, *row->takes ? " " : "", row->takes);
}

static bool is_time(const char *word)
{
	struct time_range range;
	struct error error;
	uint64_t number;

	return units_time_range(word, &range, &error) == 0 && units_integer(word, &number, &error) != 0;
}

static int read_count(struct reading *reading, const char *word, uint32_t min, uint32_t max, uint32_t *count)
{
	uint64_t number;

	if (units_integer(word, &number, &reading->error))
		return -1;
	if (number < min || number > max)
		return error_set(&reading->error, "`%s` is out of range; it is %u to %u", word, min, max);
	*count = (uint32_t)number;
	return 0;
}

static int read_time(struct reading *reading, const char *word, struct action *action)
{
	return units_time_range(word, &action->time, &reading->error);
}

/* Reads a single time; only delay and blackout accept ranges. */
static int read_single_time(struct reading *reading, const char *word, struct action *action)
{
	if (units_time(word, &action->time.low, &reading->error))
		return -1;
	action->time.high = action->time.low;
	return 0;
}

static int read_hold(struct reading *reading, const struct words *words, struct action *action)
{
	if (words->count < 2 || words->count > 3 ||
	    (words->count == 3 && strcmp(words->all[2], "either") != 0))
		return usage_error(reading, ACT_HOLD);
	action->either = words->count == 3;
	return read_count(reading, words->all[1], 1, ACTION_HOLD_MAX, &action->count);
}

static int read_duplicate(struct reading *reading, const struct words *words, struct action *action)
{
	size_t at = 1;

	action->count = 1;
	if (at < words->count && !is_time(words->all[at]))
		if (read_count(reading, words->all[at++], 1, ACTION_COPIES_MAX, &action->count))
			return -1;
	if (at < words->count && read_single_time(reading, words->all[at++], action))
		return -1;
	return at == words->count ? 0 : usage_error(reading, ACT_DUPLICATE);
}

/* Reads the arguments of corrupt and decoy: "[N] [at BYTE]". */
static int read_corrupt(struct reading *reading, const struct words *words, struct action *action)
{
	size_t at = 1;

	action->count = 1;
	action->byte = ACTION_NO_BYTE;
	if (at < words->count && strcmp(words->all[at], "at") != 0)
		if (read_count(reading, words->all[at++], 1, ACTION_BITS_MAX, &action->count))
			return -1;
	if (at + 1 < words->count && strcmp(words->all[at], "at") == 0) {
		if (read_count(reading, words->all[at + 1], 0, 65506, &action->byte))
			return -1;
		at += 2;
	}
	return at == words->count ? 0 : usage_error(reading, action->act);
}

static int read_set(struct reading *reading, const struct words *words, struct action *action)
{
	uint32_t value = 0;

	if (words->count != 3)
		return usage_error(reading, ACT_SET);
	if (read_count(reading, words->all[1], 0, 65506, &action->byte) ||
	    read_count(reading, words->all[2], 0, 255, &value))
		return -1;
	action->value = (uint8_t)value;
	return 0;
}

static int read_truncate(struct reading *reading, const struct words *words, struct action *action)
{
	uint64_t size;

	if (words->count != 2)
		return usage_error(reading, ACT_TRUNCATE);
	if (units_size(words->all[1], &size, &reading->error))
		return -1;
	if (size > 65507)
		return error_set(&reading->error, "`%s` is out of range; it is 0 to 65507", words->all[1]);
	action->size = (uint32_t)size;
	return 0;
}

static int read_replay(struct reading *reading, const struct words *words, struct action *action)
{
	if (words->count != 2)
		return usage_error(reading, ACT_REPLAY);
	if (words->all[1][0] >= '0' && words->all[1][0] <= '9')
		return read_count(reading, words->all[1], 1, ACTION_REPLAY_MAX, &action->count);
	action->by_kind = true;
	return kinds_read(reading, words->all[1], &action->kinds);
}

static int read_permute(struct reading *reading, const struct words *words, struct action *action)
{
	uint32_t seen = 0;

	if (words->count < 3 || words->count - 1 > ACTION_PERMUTE_MAX)
		return error_set(&reading->error,
		    "`%s` is not right; ORDER is 2 to %d numbers, as in `permute 3 1 2`",
		    reading->entry->value, ACTION_PERMUTE_MAX);
	action->count = (uint32_t)words->count - 1;
	for (size_t i = 1; i < words->count; i++) {
		uint32_t place = 0;

		if (read_count(reading, words->all[i], 1, action->count, &place))
			return -1;
		action->order[i - 1] = (uint8_t)(place - 1);
		seen |= UINT32_C(1) << (place - 1);
	}
	if (seen != (UINT32_C(1) << action->count) - 1)
		return error_set(&reading->error,
		    "`%s` names a place twice; ORDER holds each of 1 to %u once", reading->entry->value,
		    action->count);
	return 0;
}

static int read_inject(struct reading *reading, const struct words *words, struct action *action)
{
	const char *hex = words->count == 2 ? words->all[1] : "";
	size_t size = strlen(hex);
	uint8_t *bytes;

	if (!size || size % 2)
		return error_set(&reading->error,
		    "`%s` is not right; `inject` takes bytes as pairs of hex digits", reading->entry->value);
	bytes = arena_get(reading->arena, size / 2);
	for (size_t i = 0; i < size; i += 2) {
		int high = text_hex_digit(hex[i]), low = text_hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return error_set(&reading->error,
			    "`%.2s` is not a hex byte; `inject` takes pairs of hex digits", hex + i);
		bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	action->bytes = bytes;
	action->size = (uint32_t)(size / 2);
	return 0;
}

static int read_pack(struct reading *reading, const struct words *words, struct action *action)
{
	uint64_t size = ACTION_PACK_SIZE;

	if (words->count < 2 || words->count > 3)
		return usage_error(reading, ACT_PACK);
	if (read_single_time(reading, words->all[1], action) ||
	    (words->count == 3 && units_size(words->all[2], &size, &reading->error)))
		return -1;
	if (size < 1 || size > 65507)
		return error_set(&reading->error, "`%s` is out of range; it is 1 to 65507", words->all[2]);
	action->size = (uint32_t)size;
	return 0;
}

static int read_blackout(struct reading *reading, const struct words *words, struct action *action)
{
	static const char *const choices[] = {"both", "up", "down", "drop", "hold"};
	bool way_given = false, mode_given = false;

	if (words->count < 2 || words->count > 4)
		return usage_error(reading, ACT_BLACKOUT);
	action->ways[WAY_UP] = action->ways[WAY_DOWN] = true;
	if (read_time(reading, words->all[1], action))
		return -1;
	for (size_t i = 2; i < words->count; i++) {
		int choice = keys_choose(reading, words->all[i], choices, 5);

		if (choice < 0)
			return -1;
		if (choice < 3 ? way_given : mode_given)
			return usage_error(reading, ACT_BLACKOUT);
		if (choice < 3) {
			way_given = true;
			action->ways[WAY_UP] = choice != 2;
			action->ways[WAY_DOWN] = choice != 1;
		} else {
			mode_given = true;
			action->mode = choice == 4 ? BLACKOUT_HOLD : BLACKOUT_DROP;
		}
	}
	return 0;
}

static int read_rebind(struct reading *reading, const struct words *words, struct action *action)
{
	static const char *const what[] = {"port", "address"};
	int choice = 0;

	if (words->count > 2)
		return usage_error(reading, ACT_REBIND);
	if (words->count == 2 && (choice = keys_choose(reading, words->all[1], what, 2)) < 0)
		return -1;
	action->what = choice == 1 ? REBIND_ADDRESS : REBIND_PORT;
	return 0;
}

static int read_link(struct reading *reading, const struct words *words, struct action *action)
{
	const struct ini_section *section;

	if (words->count != 2)
		return usage_error(reading, ACT_LINK);
	section = ini_find(reading->ini, "link", words->all[1]);
	if (!section && ini_is_profile(words->all[1]))
		return error_set(&reading->error,
		    "this run has not read `%s`; first deadzone tell add \"[link NAME] like = %s\"",
		    words->all[1], words->all[1]);
	if (!section)
		return error_set(&reading->error, "there is no [link %s]", words->all[1]);
	action->link = (unsigned)ini_index(reading->ini, section) + 1;
	return 0;
}

static int read_upstream(struct reading *reading, const struct words *words, struct action *action)
{
	const char *text;

	if (words->count != 2)
		return usage_error(reading, ACT_UPSTREAM);
	if (strcmp(words->all[1], "back") == 0)
		return 0;
	if (keys_read_endpoint(reading, words->all[1], &text))
		return -1;
	action->upstream = names_add(reading->names, "", text);
	return 0;
}

static int read_by_act(struct reading *reading, const struct words *words, struct action *action)
{
	switch (action->act) {
	case ACT_DELAY:
		return words->count == 2 ? read_time(reading, words->all[1], action)
		                         : usage_error(reading, ACT_DELAY);
	case ACT_HOLD: return read_hold(reading, words, action);
	case ACT_DUPLICATE: return read_duplicate(reading, words, action);
	case ACT_CORRUPT:
	case ACT_DECOY: return read_corrupt(reading, words, action);
	case ACT_SET: return read_set(reading, words, action);
	case ACT_TRUNCATE: return read_truncate(reading, words, action);
	case ACT_REPLAY: return read_replay(reading, words, action);
	case ACT_PERMUTE: return read_permute(reading, words, action);
	case ACT_INJECT: return read_inject(reading, words, action);
	case ACT_PACK: return read_pack(reading, words, action);
	case ACT_BLACKOUT: return read_blackout(reading, words, action);
	case ACT_REBIND: return read_rebind(reading, words, action);
	case ACT_LINK: return read_link(reading, words, action);
	case ACT_UPSTREAM: return read_upstream(reading, words, action);
	case ACT_DROP:
	case ACT_BYPASS:
	case ACT_NOTE:
	case ACT_COUNT: break;
	}
	return words->count == 1 ? 0 : usage_error(reading, action->act);
}

int action_read(struct reading *reading, const char *text, void *into)
{
	const char *known[ACT_COUNT];
	struct actions *actions = into;
	struct action action = {0};
	struct words words = {0};
	char *rest = arena_text(reading->arena, text, strlen(text));
	int choice;

	for (char *word = strsep(&rest, " \t"); word; word = strsep(&rest, " \t")) {
		if (!*word)
			continue;
		if (words.count == WORDS_MAX)
			return error_set(&reading->error, "`%s` has too many words", text);
		words.all[words.count++] = word;
	}
	for (int i = 0; i < ACT_COUNT; i++)
		known[i] = action_table[i].word;
	if (words.count && strchr(words.all[0], ','))
		return error_set(&reading->error, "`%s`: one action a line; repeat `do` for another", text);
	choice = words.count ? keys_choose(reading, words.all[0], known, ACT_COUNT) : -1;
	if (choice < 0)
		return -1;
	action.act = (enum act)choice;
	if (read_by_act(reading, &words, &action))
		return -1;
	*(struct action *)keys_append(reading, &actions->all, &actions->count, sizeof(action)) = action;
	return 0;
}

int kinds_read(struct reading *reading, const char *text, void *into)
{
	struct kinds *kinds = into;
	uint64_t type;
	int choice;

	if (strncmp(text, "type:", 5) == 0) {
		if (units_integer(text + 5, &type, &reading->error) || type > 255)
			return error_set(
			    &reading->error, "`%s` is no content type; one is type:0 to type:255", text);
		kinds->types[type / 32] |= UINT32_C(1) << (type % 32);
		kinds->any_types = true;
		return 0;
	}
	choice = keys_choose(reading, text, dtls_kinds, DTLS_KIND_COUNT);
	if (choice < 0)
		return -1;
	kinds->kinds |= UINT32_C(1) << choice;
	return 0;
}

bool kinds_equal(const struct kinds *a, const struct kinds *b)
{
	return a->kinds == b->kinds && a->any_types == b->any_types &&
	       memcmp(a->types, b->types, sizeof(a->types)) == 0;
}
