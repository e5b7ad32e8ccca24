/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * figure: the number that a search varies, such as the `40` of `40s`: a number and its unit.
 *
 * A figure is counted in the unit in which it was first written, has 3 significant digits, and is a whole
 * number where the ini key takes only these.
 */
#ifndef CAMPAIGN_FIGURE_H
#define CAMPAIGN_FIGURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define FIGURE_TEXT_SIZE 40

enum figure_kind { FIGURE_NUMBER, FIGURE_TIME, FIGURE_SHARE, FIGURE_SIZE, FIGURE_RATE, FIGURE_PACKETS };

struct figure_unit {
	enum figure_kind kind;
	char suffix[8]; /* as written: "s", "%", "kbit", "p", "" */
	double base;    /* one of it in ns, shares, bytes, bits per second; else 1 */
	bool whole;     /* only whole numbers are valid */
};

/* Reads "300s" and its unit. Returns 0, or -1 and sets *error. */
int figure_read_unit(const char *text, struct figure_unit *unit, double *figure, struct error *error);
/* Reads a figure in any unit of the same kind, and converts it to `unit`. */
int figure_read(const char *text, const struct figure_unit *unit, double *figure, struct error *error);
/* Writes the figure with its unit, such as "12.5s"; `cap` of FIGURE_TEXT_SIZE is enough. */
const char *figure_text(const struct figure_unit *unit, double figure, char *text, size_t cap);
/* The same for people, with a space: "12.5 s". */
const char *figure_show(const struct figure_unit *unit, double figure, char *text, size_t cap);
/* Returns the nearest figure that can be written. */
double figure_round(const struct figure_unit *unit, double figure);
/* Returns the greatest figure that can be written and is not above this one, or the least not below it. */
double figure_floor(const struct figure_unit *unit, double figure);
double figure_ceil(const struct figure_unit *unit, double figure);
/* Returns the next greater figure that can be written. */
double figure_above(const struct figure_unit *unit, double figure);

#endif
