/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expand: adds the faults of sweeps to the plan, once the references of a sweep in a cell have passed.
 */
#ifndef CAMPAIGN_EXPAND_H
#define CAMPAIGN_EXPAND_H

#include "campaign/plan.h"
#include "campaign/result.h"
#include "campaign/sweep.h"

enum sweep_state {
	SWEEP_WAITS,  /* not all references have an outcome */
	SWEEP_FAILED, /* a reference did not pass: the test fails on an untouched network */
	SWEEP_EMPTY,  /* the references share no place */
	SWEEP_READY
};

/* One sweep in one cell. */
struct sweep_cell {
	enum sweep_state state;
	struct sweep_plan places;
	double network_seconds; /* median of the references; NAN: unknown */
};

struct expansion {
	const struct settings *settings;
	struct sweep_cell *all; /* by sweep, then by cell */
	size_t cell_count;
};

struct expansion *expansion_new(const struct campaign_plan *plan);
void expansion_free(struct expansion *expansion);
/* Looks at the results of references, and adds the units of sweeps that are ready now. */
void expansion_update(struct expansion *expansion, struct campaign_plan *plan, const struct results *results);
/* Forgets what the references of a sweep in a cell came to: they are to run again. */
void expansion_reset(struct expansion *expansion, size_t sweep, size_t cell);
const struct sweep_cell *expansion_cell(const struct expansion *expansion, size_t sweep, size_t cell);
/* Returns the place of a sweep's unit, or NULL. */
const struct sweep_place *expansion_place(const struct expansion *expansion, const struct unit *unit);

/* Writes the id of reference `number`, from 1. */
void reference_id(const struct unit *references, unsigned number, struct text *id);

#endif
