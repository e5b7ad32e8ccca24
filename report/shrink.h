/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shrink: finds a minimal subset of items that still makes a test fail (delta debugging: Zeller and
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002, section 3).
 *
 * Call shrink_init, then in turn shrink_next, which returns the subset to test, and shrink_answer with the
 * outcome, until shrink_next returns NULL. Then `in` is a failing subset of which no item can be left out,
 * provided that the test is deterministic. shrink_fini frees the sets.
 */
#ifndef REPORT_SHRINK_H
#define REPORT_SHRINK_H

#include <stdbool.h>
#include <stddef.h>

struct shrink {
	bool *in, *tried;   /* for each item: is it in the current set; in the one to test */
	size_t count, left; /* items in all, and in the current set */
	size_t parts, at;   /* the current set is cut into `parts` parts; the next test is about part `at` */
	bool alone;         /* test part `at` alone; false: test all but that part */
};

void shrink_init(struct shrink *shrink, size_t count);
void shrink_fini(struct shrink *shrink);
/* Returns the set to test, or NULL at the end. It stays valid until the next call. */
const bool *shrink_next(struct shrink *shrink);
/* `failed`: the test of that set failed as the whole set does. */
void shrink_answer(struct shrink *shrink, bool failed);

#endif
