/* SPDX-License-Identifier: BSD-2-Clause */
/* index: a hash table from 64-bit keys to small numbers, that grows. The key says all: no two things share
 * one. */
#ifndef REPORT_INDEX_H
#define REPORT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index {
	struct index_slot {
		uint64_t key;
		uint32_t value; /* INDEX_NONE: free */
	} * slots;
	size_t count, cap;
};

/* The number that stands for the key, INDEX_NONE where there is none. */
uint32_t index_find(const struct index *index, uint64_t key);
/* `key` must not be there yet. */
void index_add(struct index *index, uint64_t key, uint32_t value);
/* Does nothing if it is not there. */
void index_remove(struct index *index, uint64_t key);
void index_free(struct index *index);

#endif
