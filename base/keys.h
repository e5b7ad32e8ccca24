/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys: the tables of ini sections and keys, and the functions that read values by them.
 *
 * One row says everything about a key: its name, the type of its value, its default as text (which the same
 * reader parses), and its help. The ini reader, the checks, `deadzone help ini` and deadzone.ini(5) all use
 * these rows; there are no other keys.
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

/* The context of a reader of values. */
struct reading {
	struct arena *arena; /* for everything that the value points to */
	const struct ini *ini;
	const struct ini_entry *entry;
	struct names *names;
	struct error error; /* set by a reader that returns -1 */
	struct {
		const struct section_kind *kind;
		void *bytes; /* a section of this kind, filled with defaults */
	} presets[4];
};

typedef int key_read(struct reading *reading, const char *text, void *into);

enum key_flags {
	KEY_PLAIN = 0,
	KEY_LIST = 1,     /* marked + in help: values separated by commas, and the key may be repeated */
	KEY_REPEATED = 2, /* may be repeated; each occurrence is a value of its own (`do`) */
	KEY_EACH_WAY = 4, /* may be prefixed with `up.` or `down.` */
	KEY_COMMAND = 8,  /* a shell command: ` ;` in it is an error, because the ini syntax cuts it there */
};

struct key {
	const char *name;
	unsigned flags;
	const char *preset; /* its default as an ini value; NULL: none */
	size_t at;          /* offset of its value in the section's struct (KEY_EACH_WAY: in the struct of one
	                       direction) */
	key_read *read;
	const char *takes;        /* for help: "time", "share", … */
	const char *what;         /* for help: its meaning in a few words */
	const char *preset_words; /* for help, if the default is not a plain value */
};

/* A kind of section, such as `[link NAME]`. */
struct section_kind {
	const char *name;
	bool named;
	const struct key *keys;
	size_t key_count;
	size_t size;              /* of its struct, in bytes */
	size_t ways_at, way_size; /* offset of the structs of the two directions, and the size of each; 0:
	                             there are none */
	const char *what;
};

/* Returns the row of "up.loss" or "loss", or NULL. Sets *way to 0 (up), 1 (down) or -1 (both). */
const struct key *keys_find(const struct section_kind *kind, const char *name, int *way);
const struct section_kind *keys_kind(const struct section_kind *const *kinds, size_t count, const char *name);

/* Fills a section's struct, zeroed by the caller, with the defaults. They are parsed once for each kind
 * and then copied: the memory that they point to is shared and must not be changed. */
void keys_set_defaults(const struct section_kind *kind, void *into, struct reading *reading);
/* Reads a section's keys over the defaults, those with `up.` and `down.` last, and adds errors to
 * `complaints`. `section` may be NULL: it has no keys. */
void keys_fill(const struct section_kind *kind, const struct ini_section *section, void *into,
    struct reading *reading, struct complaints *complaints);

/* Appends one element of `size` bytes to a list {pointer, count} in the arena, and returns its address. */
void *keys_append(struct reading *reading, void *items, size_t *count, size_t size);

/* Readers that any table may use; `into` points to the type named here. */
key_read keys_read_time;       /* ns_t */
key_read keys_read_time_range; /* struct time_range */
key_read keys_read_share;      /* double */
key_read keys_read_size;       /* uint64_t */
key_read keys_read_rate;       /* uint64_t */
key_read keys_read_whole;      /* uint64_t */
key_read keys_read_bool;       /* bool */
key_read keys_read_text;       /* const char * */

struct spans {
	struct span *all;
	size_t count;
};

key_read keys_read_span;          /* struct span */
key_read keys_read_span_of_sizes; /* struct span */
key_read keys_read_spans;         /* appends to struct spans */
key_read keys_read_spans_of_sizes;

struct texts {
	const char **all;
	size_t count;
};

key_read keys_read_texts; /* appends to struct texts */

struct patterns {
	struct address_pattern *all;
	size_t count;
};

struct addresses {
	struct address *all;
	size_t count;
};

/* Returns true if one of the patterns matches, or if there are none. */
bool patterns_match(const struct patterns *patterns, const struct address *address);

key_read keys_read_pattern;  /* appends to struct patterns */
key_read keys_read_address;  /* appends to struct addresses: an address with port */
key_read keys_read_host;     /* appends to struct addresses: an address without port */
key_read keys_read_endpoint; /* const char *: host name or address, with port */

bool spans_hold(const struct spans *spans, uint64_t number);

key_read keys_read_time_above_0; /* ns_t */

/* Stores the index of `text` in `words` in *into, an enum without negative values. */
int keys_read_word(
    struct reading *reading, const char *text, const char *const *words, size_t count, void *into);

/* Returns the index of `text` in `words`, or -1 and sets an error that lists them or suggests the nearest. */
int keys_choose(struct reading *reading, const char *text, const char *const *words, size_t count);

#endif
