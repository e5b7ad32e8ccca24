/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dictionary: a hash table of pointers by name. A name belongs to a space (a kind of section, say), so that
 * one dictionary holds several kinds; the space is an address that is only compared.
 *
 * Names are not copied: they must live as long as the dictionary. Open addressing, at most three quarters
 * full.
 */
#ifndef BASE_DICTIONARY_H
#define BASE_DICTIONARY_H

#include <stddef.h>
#include <stdint.h>

struct dictionary {
	struct dictionary_slot {
		const void *space;
		const char *name; /* NULL: free */
		void *value;
		uint32_t hash;
	} * slots;
	size_t count, cap;
};

/* Returns NULL if there is no such name. */
void *dictionary_get(const struct dictionary *dictionary, const void *space, const char *name);
/* Adds a name, or replaces the value of a name that exists. */
void dictionary_put(struct dictionary *dictionary, const void *space, const char *name, void *value);
void dictionary_free(struct dictionary *dictionary);

#endif
