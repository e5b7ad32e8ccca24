/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * index: a growing hash table from 64-bit keys to 32-bit numbers, with linear probing.
 *
 * Only the key identifies an entry. Callers that hash longer data into keys accept that two of them may
 * collide. Zero-initialize it; index_free releases it.
 */
#ifndef REPORT_INDEX_H
#define REPORT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index {
	struct index_slot {
		uint64_t key;
		uint32_t value; /* INDEX_NONE: the slot is free */
	} * slots;
	size_t count, cap;
};

/* Returns the number of `key`, or INDEX_NONE. */
uint32_t index_find(const struct index *index, uint64_t key);
/* Adds an entry; the table must not contain `key` yet. */
void index_add(struct index *index, uint64_t key, uint32_t value);
/* Removes the entry of `key`, if there is one. */
void index_remove(struct index *index, uint64_t key);
void index_free(struct index *index);

#endif
