/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * action: parses the actions of a rule (the values of `do =`) into one struct each.
 *
 * action_table has a row for every action: its name, its arguments, its help text, and whether it works
 * without a datagram (an action that needs a datagram cannot be used in a timed rule or through the API).
 * The actions are carried out in act.c.
 */
#ifndef RULES_ACTION_H
#define RULES_ACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/keys.h"
#include "rules/dtls.h"

enum act {
	ACT_DROP,
	ACT_DELAY,
	ACT_HOLD,
	ACT_DUPLICATE,
	ACT_CORRUPT,
	ACT_SET,
	ACT_DECOY,
	ACT_TRUNCATE,
	ACT_REPLAY,
	ACT_PERMUTE,
	ACT_INJECT,
	ACT_PACK,
	ACT_BLACKOUT,
	ACT_REBIND,
	ACT_LINK,
	ACT_UPSTREAM,
	ACT_BYPASS,
	ACT_NOTE,
	ACT_COUNT
};

#define ACTION_COPIES_MAX 1000
#define ACTION_BITS_MAX 64
#define ACTION_HOLD_MAX 65535
#define ACTION_REPLAY_MAX 64
#define ACTION_PERMUTE_MAX 16
#define ACTION_PACK_SIZE 1400
#define ACTION_NO_BYTE UINT32_MAX

enum blackout_mode { BLACKOUT_DROP, BLACKOUT_HOLD };
enum rebind_what { REBIND_PORT, REBIND_ADDRESS };

/* A set of record kinds: a bit for each enum dtls_kind, and a bit for each content type. */
struct kinds {
	uint32_t kinds;
	uint32_t types[8];
	bool any_types;
};

bool kinds_equal(const struct kinds *a, const struct kinds *b);

struct action {
	enum act act;
	struct time_range time; /* delay; duplicate: interval; pack: wait; blackout: duration */
	uint32_t count; /* hold: datagrams; duplicate: copies; decoy, corrupt: bits; replay: datagrams back */
	uint32_t byte;  /* corrupt, decoy, set: offset, or ACTION_NO_BYTE */
	uint32_t size;  /* truncate, pack, inject: bytes */
	uint8_t value;  /* set */
	bool either;    /* hold */
	bool ways[WAYS]; /* blackout */
	enum blackout_mode mode;
	enum rebind_what what;
	unsigned link;                     /* index of the link */
	uint32_t upstream;                 /* name of the server; 0: `back` */
	bool by_kind;                      /* replay */
	struct kinds kinds;                /* replay */
	unsigned kept;                     /* replay by kind: index in the session's `firsts` */
	uint8_t order[ACTION_PERMUTE_MAX]; /* permute: `count` indexes, counted from 0 */
	const uint8_t *bytes;              /* inject */
};

struct action_row {
	const char *word;
	const char *takes;
	const char *what;
	bool timed; /* needs no datagram */
};

extern const struct action_row action_table[ACT_COUNT];

struct actions {
	struct action *all;
	size_t count;
};

/* Readers for key tables: append an action to a struct actions; add a kind to a struct kinds. */
key_read action_read;
key_read kinds_read;

#endif
