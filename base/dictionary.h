/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dictionary: things found by name. A name belongs to a space (a kind of section, say), so that one
 * dictionary holds several kinds; the space is an address that is only compared.
 *
 * Names are not copied: they live as long as the dictionary. Open addressing, at most three quarters full.
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

/* NULL if there is none. */
void *dictionary_get(const struct dictionary *dictionary, const void *space, const char *name);
/* Replaces the value of a name that is there. */
void dictionary_put(struct dictionary *dictionary, const void *space, const char *name, void *value);
void dictionary_free(struct dictionary *dictionary);

#endif
