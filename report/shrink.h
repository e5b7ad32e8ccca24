/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shrink: the least of many things that still make a test fail (delta debugging: Zeller and Hildebrandt,
 * "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002, section 3).
 *
 * `shrink_next` says which to try; `shrink_answer` takes whether it failed as before. At the end `in` holds a
 * set from which nothing can be taken away without the failure going too, as far as the test always answers
 * alike.
 */
#ifndef REPORT_SHRINK_H
#define REPORT_SHRINK_H

#include <stdbool.h>
#include <stddef.h>

struct shrink {
	bool *in, *tried;   /* the present set, and the one to try */
	size_t count, left; /* things in all, and in the present set */
	size_t parts,
	    at; /* the present set is cut into so many; the one that is left out next, or kept alone */
	bool alone;
};

void shrink_init(struct shrink *shrink, size_t count);
void shrink_fini(struct shrink *shrink);
/* The set to try; NULL: it is done. */
const bool *shrink_next(struct shrink *shrink);
void shrink_answer(struct shrink *shrink, bool failed);

#endif
