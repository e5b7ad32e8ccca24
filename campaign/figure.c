/* SPDX-License-Identifier: BSD-2-Clause */
#include "campaign/figure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define DIGITS 3

/* Reads `text` as a value of one kind, in its base unit. */
static int read_kind(enum figure_kind kind, const char *text, double *value, struct error *error)
{
	uint64_t number;
	ns_t time;
	int failed = -1;

	switch (kind) {
	case FIGURE_TIME:
		failed = units_time(text, &time, error);
		*value = (double)time;
		return failed;
	case FIGURE_SHARE: return units_share(text, value, error);
	case FIGURE_SIZE:
		failed = units_size(text, &number, error);
		*value = (double)number;
		return failed;
	case FIGURE_RATE:
		failed = units_rate(text, &number, error);
		*value = (double)number;
		return failed;
	default: return -1;
	}
}

/* Returns the end of the digits, with at most one point, at the start of `text`. */
static const char *number_end(const char *text)
{
	const char *end = text + strspn(text, "0123456789");

	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return end;
}

int figure_read_unit(const char *text, struct figure_unit *unit, double *figure, struct error *error)
{
	static const enum figure_kind kinds[] = {FIGURE_TIME, FIGURE_SHARE, FIGURE_SIZE, FIGURE_RATE};
	const char *suffix = number_end(text);
	char one[sizeof(unit->suffix) + 2];
	struct error ignored;

	if (suffix == text || strlen(suffix) >= sizeof(unit->suffix))
		return error_set(
		    error, "`%s` is no figure; it is a number with its unit, such as 300s or 5%%", text);
	*unit = (struct figure_unit){.base = 1};
	strcpy(unit->suffix, suffix);
	*figure = strtod(text, NULL);
	unit->whole = !*suffix || strcmp(suffix, "p") == 0 || strcmp(suffix, "B") == 0;
	if (strcmp(suffix, "p") == 0)
		unit->kind = FIGURE_PACKETS;
	if (!*suffix || unit->kind == FIGURE_PACKETS)
		return 0;
	snprintf(one, sizeof(one), "1%s", suffix);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (read_kind(kinds[i], one, &unit->base, &ignored) == 0) {
			unit->kind = kinds[i];
			return 0;
		}
	return error_set(
	    error, "`%s` has no unit that is known: us ms s m h, %%, B KiB MiB, bit kbit Mbit Gbit, p", text);
}

int figure_read(const char *text, const struct figure_unit *unit, double *figure, struct error *error)
{
	struct figure_unit own;

	if (figure_read_unit(text, &own, figure, error))
		return -1;
	if (*figure <= 0 && !*own.suffix)
		return 0; /* 0 needs no unit */
	if (own.kind != unit->kind)
		return error_set(error, "`%s` is in another kind of unit than `1%s`", text, unit->suffix);
	*figure *= own.base / unit->base;
	return 0;
}

/* Returns the distance between neighbouring figures of this size. */
static double step_at(const struct figure_unit *unit, double figure)
{
	double step = figure > 0 ? pow(10, floor(log10(figure)) - (DIGITS - 1)) : 1e-3;

	return unit->whole && step < 1 ? 1 : step;
}

double figure_round(const struct figure_unit *unit, double figure)
{
	char text[FIGURE_TEXT_SIZE];
	double step = step_at(unit, figure);

	/* Through text, so that it is the number that will be read back. */
	snprintf(text, sizeof(text), "%.*f", step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0,
	    round(figure / step) * step);
	return strtod(text, NULL);
}

double figure_floor(const struct figure_unit *unit, double figure)
{
	double near = figure_round(unit, figure);

	return near > figure ? figure_round(unit, near - step_at(unit, figure)) : near;
}

double figure_ceil(const struct figure_unit *unit, double figure)
{
	double near = figure_round(unit, figure);

	return near < figure ? figure_round(unit, near + step_at(unit, figure)) : near;
}

double figure_above(const struct figure_unit *unit, double figure)
{
	return figure_round(unit, figure + step_at(unit, figure));
}

static const char *write_figure(
    const struct figure_unit *unit, double figure, const char *between, char *text, size_t cap)
{
	double rounded = figure_round(unit, figure), step = step_at(unit, rounded);
	int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	char digits[FIGURE_TEXT_SIZE];
	char *end;

	snprintf(digits, sizeof(digits), "%.*f", decimals < 9 ? decimals : 9, rounded);
	if (strchr(digits, '.')) {
		end = digits + strlen(digits);
		while (end[-1] == '0')
			*--end = '\0';
		if (end[-1] == '.')
			end[-1] = '\0';
	}
	snprintf(text, cap, "%s%s%s", digits, *unit->suffix ? between : "", unit->suffix);
	return text;
}

const char *figure_text(const struct figure_unit *unit, double figure, char *text, size_t cap)
{
	return write_figure(unit, figure, "", text, cap);
}

const char *figure_show(const struct figure_unit *unit, double figure, char *text, size_t cap)
{
	return write_figure(unit, figure, " ", text, cap);
}
