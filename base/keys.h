/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys: the tables of ini sections and keys, and what reads values by them.
 *
 * One row says all about a key: its name, what it takes, its default as text (which goes through the same
 * reader), its limits' reader, and its help. The ini reader, the checks, `deadzone help ini` and
 * deadzone.ini(5) all read these rows; no key exists beside them.
 */
#ifndef BASE_KEYS_H
#define BASE_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/names.h"
#include "base/units.h"

struct ini;
struct ini_entry;
struct ini_section;

/* What a reader of values is given beside the text. */
struct reading {
	struct arena *arena; /* where what it keeps must live */
	const struct ini *ini;
	const struct ini_entry *entry;
	struct names *names;
	struct error error; /* to be filled where it gives -1 */
	struct {
		const struct section_kind *kind;
		void
		    *bytes; /* of a section of this kind without keys: many sections have the same defaults */
	} presets[4];
};

typedef int key_read(struct reading *reading, const char *text, void *into);

enum key_flags {
	KEY_PLAIN = 0,
	KEY_LIST = 1,     /* marked +: commas, and several times */
	KEY_REPEATED = 2, /* several times, each a value of its own (`do`) */
	KEY_EACH_WAY = 4, /* also behind `up.` and `down.` */
};

struct key {
	const char *name;
	unsigned flags;
	const char *preset; /* its default as an ini value; NULL: none */
	size_t at;          /* where its value lies in the section's struct (KEY_EACH_WAY: in one way's) */
	key_read *read;
	const char *takes;        /* for help: "time", "share", … */
	const char *what;         /* for help: its meaning in a few words */
	const char *preset_words; /* for help, where the default is no plain value */
};

/* A kind of section, as `[link NAME]`. */
struct section_kind {
	const char *name;
	bool named;
	const struct key *keys;
	size_t key_count;
	size_t size;              /* of its struct */
	size_t ways_at, way_size; /* where the two ways lie in it, and how large each is; 0: it has none */
	const char *what;
};

/* The row of "up.loss" or "loss", or NULL. `way` becomes 0 (up), 1 (down) or -1 (both). */
const struct key *keys_find(const struct section_kind *kind, const char *name, int *way);
const struct section_kind *keys_kind(const struct section_kind *const *kinds, size_t count, const char *name);

/* Fills a section's struct, zeroed by the caller, with the defaults. They are read once for each kind and
 * then copied: what they point to is shared, and never changed. */
void keys_presets(const struct section_kind *kind, void *into, struct reading *reading);
/* Reads a section's keys over them, `up.` and `down.` last. Complaints go to `complaints`; a section of NULL
 * has none. */
void keys_fill(const struct section_kind *kind, const struct ini_section *section, void *into,
    struct reading *reading, struct complaints *complaints);

/* Appends one element of `size` bytes to a list {pointer, count} in the arena; gives its place. */
void *keys_append(struct reading *reading, void *items, size_t *count, size_t size);

/* Readers that any table may use; `into` points to the type named here. */
key_read keys_read_time;       /* ns_t */
key_read keys_read_time_range; /* struct time_range */
key_read keys_read_share;      /* double */
key_read keys_read_size;       /* uint64_t */
key_read keys_read_rate;       /* uint64_t */
key_read keys_read_whole;      /* uint64_t */
key_read keys_read_yes;        /* bool */
key_read keys_read_text;       /* const char * */

struct spans {
	struct span *all;
	size_t count;
};

key_read keys_read_span;          /* struct span */
key_read keys_read_span_of_sizes; /* struct span */
key_read keys_read_spans;         /* struct spans, one more */
key_read keys_read_spans_of_sizes;

struct texts {
	const char **all;
	size_t count;
};

key_read keys_read_texts; /* struct texts, one more */

struct patterns {
	struct address_pattern *all;
	size_t count;
};

struct addresses {
	struct address *all;
	size_t count;
};

/* One of them matches; an empty list matches all. */
bool patterns_match(const struct patterns *patterns, const struct address *address);

key_read keys_read_pattern;  /* struct patterns, one more */
key_read keys_read_address;  /* struct addresses, one more: address and port */
key_read keys_read_host;     /* struct addresses, one more: address alone */
key_read keys_read_endpoint; /* const char *: host name or address, and port */

bool spans_hold(const struct spans *spans, uint64_t number);

key_read keys_read_time_above_0; /* ns_t */

/* One of `words` into an enum whose values are their indexes. */
int keys_read_word(
    struct reading *reading, const char *text, const char *const *words, size_t count, void *into);

/* Index of `text` in `words`, or -1 and an error that lists them and suggests the nearest. */
int keys_choose(struct reading *reading, const char *text, const char *const *words, size_t count);

#endif
