/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The matrix is the product of the axes, the first axis slowest. Its cases run seed by seed; within a seed
 * the cells are ordered by a hash of seed and cell, which is a draw that needs no state. If an axis has a
 * `change` command, cases are grouped by its value first.
 */
#include "campaign/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/ini.h"
#include "base/memory.h"

#define CELLS_MAX 100000
#define UNITS_MAX 1000000
#define NO_AXIS "all" /* the only cell if there are no axes */

const struct axis_value *plan_value(const struct campaign_plan *plan, const struct cell *cell, size_t axis)
{
	return &plan->settings->axes[axis].all[cell->values[axis]];
}

bool plan_selects(const struct campaign_plan *plan, const struct selector *selector, const struct cell *cell)
{
	for (size_t i = 0; i < selector->term_count; i++) {
		bool fits = false;

		for (size_t a = 0; a < plan->settings->axis_count; a++)
			fits |= strcmp(plan->settings->axes[a].name, selector->terms[i].axis) == 0 &&
			        strcmp(plan_value(plan, cell, a)->label, selector->terms[i].label) == 0;
		if (!fits)
			return false;
	}
	return true;
}

bool plan_bench_fits(
    const struct campaign_plan *plan, const struct bench_section *bench, const struct cell *cell)
{
	if (!bench || !bench->only.count)
		return true;
	for (size_t i = 0; i < bench->only.count; i++)
		if (plan_selects(plan, &bench->only.all[i], cell))
			return true;
	return false;
}

ns_t plan_timeout(const struct campaign_plan *plan, const struct cell *cell)
{
	const struct campaign_settings *campaign = &plan->settings->campaign;
	ns_t timeout = 0;

	for (size_t i = 0; i < campaign->timeouts.count; i++)
		if (plan_selects(plan, &campaign->timeouts.all[i].selector, cell))
			timeout = campaign->timeouts.all[i].time;
	return timeout;
}

double plan_requirement(const struct campaign_plan *plan, const struct cell *cell)
{
	const struct campaign_settings *campaign = &plan->settings->campaign;
	double share = -1;

	for (size_t i = 0; i < campaign->requirements.count; i++)
		if (plan_selects(plan, &campaign->requirements.all[i].selector, cell))
			share = campaign->requirements.all[i].none ? -1 : campaign->requirements.all[i].share;
	return share;
}

static void complain(
    const struct campaign_plan *plan, struct complaints *complaints, const char *format, const char *what)
{
	const struct ini_section *section = ini_find(plan->settings->ini, "campaign", "");

	ini_complain(section, NULL, complaints, format, what);
}

/* ---- Cells ---- */

static const char *cell_id(struct campaign_plan *plan, const struct cell *cell)
{
	struct text text = {0};
	const char *id;

	for (size_t a = 0; a < plan->settings->axis_count; a++)
		text_add(&text, a ? "+%s" : "%s", plan_value(plan, cell, a)->label);
	if (!plan->settings->axis_count)
		text_add_word(&text, NO_AXIS);
	id = arena_text(plan->settings->arena, text.at, text.size);
	text_free(&text);
	return id;
}

static void add_cell(struct campaign_plan *plan, const size_t *values, struct complaints *complaints)
{
	const struct campaign_settings *campaign = &plan->settings->campaign;
	struct arena *arena = plan->settings->arena;
	size_t axes = plan->settings->axis_count;
	struct cell cell = {
	    .index = plan->cell_count, .values = arena_get(arena, (axes + 1) * sizeof(size_t))};

	memcpy(cell.values, values, axes * sizeof(size_t));
	for (size_t i = 0; i < campaign->excluded.count; i++)
		if (plan_selects(plan, &campaign->excluded.all[i], &cell))
			return;
	cell.id = cell_id(plan, &cell);
	if (strlen(cell.id) > SETTINGS_LABEL_MAX)
		complain(plan, complaints, "the cell `%s` has more than 200 bytes; use `names`", cell.id);
	plan->cells = arena_grow(arena, plan->cells, plan->cell_count, sizeof(*plan->cells));
	plan->cells[plan->cell_count++] = cell;
}

static int make_cells(struct campaign_plan *plan, struct complaints *complaints)
{
	const struct settings *settings = plan->settings;
	size_t total = 1, axis;
	size_t *values = arena_get(settings->arena, (settings->axis_count + 1) * sizeof(*values));

	for (axis = 0; axis < settings->axis_count; axis++)
		if (__builtin_mul_overflow(total, settings->axes[axis].count, &total) || total > CELLS_MAX) {
			complain(plan, complaints, "%s", "there are more than 100000 cells");
			return -1;
		}
	for (size_t i = 0; i < total; i++) {
		size_t rest = i;

		for (axis = settings->axis_count; axis-- > 0;) {
			values[axis] = rest % settings->axes[axis].count;
			rest /= settings->axes[axis].count;
		}
		add_cell(plan, values, complaints);
	}
	if (!plan->cell_count) {
		complain(plan, complaints, "%s", "`exclude` leaves no cell");
		return -1;
	}
	return 0;
}

const struct cell *plan_cell(const struct campaign_plan *plan, const char *id)
{
	for (size_t i = 0; i < plan->cell_count; i++)
		if (strcmp(plan->cells[i].id, id) == 0)
			return &plan->cells[i];
	return NULL;
}

/* ---- Units ---- */

static void add_unit(struct campaign_plan *plan, const struct unit *unit)
{
	plan->units = arena_grow(plan->settings->arena, plan->units, plan->unit_count, sizeof(*plan->units));
	plan->units[plan->unit_count++] = *unit;
	dictionary_put(&plan->by_id, NULL, unit->id, (void *)(uintptr_t)plan->unit_count);
}

static const char *unit_id(struct campaign_plan *plan, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *unit_id(struct campaign_plan *plan, const char *format, ...)
{
	struct text text = {0};
	const char *id;
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	id = arena_text(plan->settings->arena, text.at, text.size);
	text_free(&text);
	return id;
}

/* The place of a case of the matrix in the order of running. */
struct ordered {
	size_t group[8]; /* values on the axes with `change`; further axes do not group */
	size_t seed_index;
	uint64_t draw;
	size_t cell;
};

static int compare_ordered(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	for (size_t i = 0; i < sizeof(x->group) / sizeof(*x->group); i++)
		if (x->group[i] != y->group[i])
			return x->group[i] < y->group[i] ? -1 : 1;
	if (x->seed_index != y->seed_index)
		return x->seed_index < y->seed_index ? -1 : 1;
	if (x->draw != y->draw)
		return x->draw < y->draw ? -1 : 1;
	return x->cell < y->cell ? -1 : x->cell > y->cell;
}

static void order_case(
    const struct campaign_plan *plan, size_t cell, size_t seed_index, struct ordered *ordered)
{
	const struct settings *settings = plan->settings;
	const struct cell *c = &plan->cells[cell];
	size_t groups = 0;

	*ordered = (struct ordered){.seed_index = seed_index, .cell = cell};
	if (settings->campaign.order == ORDER_SHUFFLED)
		ordered->draw = chance_hash(
		    chance_mix(settings->campaign.seeds.all[seed_index]), c->id, strlen(c->id));
	for (size_t a = 0; a < settings->axis_count; a++)
		if (settings->axes[a].change && groups < sizeof(ordered->group) / sizeof(*ordered->group))
			ordered->group[groups++] = c->values[a];
}

static void add_matrix(struct campaign_plan *plan)
{
	const struct campaign_settings *campaign = &plan->settings->campaign;
	size_t count = plan->cell_count * campaign->seeds.count, i = 0;
	struct ordered *all = memory_new(count + 1, sizeof(*all));

	for (size_t seed = 0; seed < campaign->seeds.count; seed++)
		for (size_t cell = 0; cell < plan->cell_count; cell++)
			order_case(plan, cell, seed, &all[i++]);
	qsort(all, count, sizeof(*all), compare_ordered);
	for (i = 0; i < count; i++) {
		uint64_t seed = campaign->seeds.all[all[i].seed_index];
		struct unit unit = {.kind = UNIT_MATRIX, .cell = all[i].cell, .seed = seed};

		unit.id = unit_id(plan, "m/%s/%" PRIu64, plan->cells[all[i].cell].id, seed);
		add_unit(plan, &unit);
	}
	free(all);
}

static void add_sections(struct campaign_plan *plan)
{
	const struct settings *settings = plan->settings;

	for (size_t s = 0; s < settings->search_count; s++)
		for (size_t cell = 0; cell < plan->cell_count; cell++) {
			struct unit unit = {.kind = UNIT_SEARCH, .cell = cell, .section = s};

			unit.id = unit_id(plan, "s/%s/%s", settings->searches[s].name, plan->cells[cell].id);
			add_unit(plan, &unit);
		}
	for (size_t s = 0; s < settings->sweep_count; s++)
		for (size_t cell = 0; cell < plan->cell_count; cell++) {
			struct unit unit = {.kind = UNIT_REFERENCES, .cell = cell, .section = s};

			unit.id = unit_id(plan, "r/%s/%s", settings->sweeps[s].name, plan->cells[cell].id);
			add_unit(plan, &unit);
		}
}

struct campaign_plan *plan_new(struct settings *settings, struct complaints *complaints)
{
	const struct campaign_settings *campaign = &settings->campaign;
	struct campaign_plan *plan = arena_get(settings->arena, sizeof(*plan));
	size_t units;

	plan->settings = settings;
	if (make_cells(plan, complaints))
		return NULL;
	if (__builtin_mul_overflow(plan->cell_count,
	        campaign->seeds.count + settings->search_count + settings->sweep_count, &units) ||
	    units > UNITS_MAX) {
		complain(plan, complaints, "%s", "there are more than 1000000 cases");
		return NULL;
	}
	add_matrix(plan);
	add_sections(plan);
	if (!plan->unit_count)
		complain(plan, complaints, "%s",
		    "there is nothing to run: `seeds = none`, no [search], no [sweep]");
	return plan;
}

void plan_add_fault(
    struct campaign_plan *plan, size_t sweep, size_t cell, const char *place, const struct fault *fault)
{
	const struct campaign_settings *campaign = &plan->settings->campaign;
	struct unit unit = {.kind = UNIT_SWEEP,
	    .cell = cell,
	    .section = sweep,
	    .seed = campaign->seeds.count ? campaign->seeds.all[0] : 1,
	    .place = arena_text(plan->settings->arena, place, strlen(place)),
	    .fault = fault};

	unit.id = unit_id(plan, "w/%s/%s/%s-%s", plan->settings->sweeps[sweep].name, plan->cells[cell].id,
	    place, fault->label);
	if (!plan_unit(plan, unit.id))
		add_unit(plan, &unit);
}

const struct unit *plan_unit(const struct campaign_plan *plan, const char *id)
{
	uintptr_t place = (uintptr_t)dictionary_get(&plan->by_id, NULL, id);

	return place ? &plan->units[place - 1] : NULL;
}

const struct unit *plan_unit_of_case(const struct campaign_plan *plan, const char *id)
{
	const struct unit *unit = plan_unit(plan, id);
	const char *last = strrchr(id, '/');
	char *head;

	if (unit || !last || !last[1] || strspn(last + 1, "0123456789") != strlen(last + 1))
		return unit;
	head = memory_text(id, (size_t)(last - id));
	unit = plan_unit(plan, head);
	free(head);
	return unit && (unit->kind == UNIT_SEARCH || unit->kind == UNIT_REFERENCES) ? unit : NULL;
}

void plan_free(struct campaign_plan *plan)
{
	if (plan)
		dictionary_free(&plan->by_id);
}

/* ---- Settings ---- */

void plan_cell_settings(const struct campaign_plan *plan, const struct cell *cell, struct text *out)
{
	const struct settings *settings = plan->settings;

	for (size_t a = 0; a < settings->axis_count; a++)
		for (size_t i = 0; i < settings->axes[a].set.count; i++)
			text_add(
			    out, "%s = %s\n", settings->axes[a].set.all[i], plan_value(plan, cell, a)->value);
}

void plan_search_setting(const struct search_section *search, double figure, struct text *out)
{
	char written[FIGURE_TEXT_SIZE];
	const char *from = search->value;

	figure_text(&search->settings.unit, figure, written, sizeof(written));
	text_add(out, "%s = ", search->set);
	for (const char *at = strstr(from, "{}"); at; at = strstr(from, "{}")) {
		text_add_bytes(out, from, (size_t)(at - from));
		text_add_word(out, written);
		from = at + 2;
	}
	text_add(out, "%s\n", from);
}

uint64_t plan_search_seed(const struct campaign_plan *plan, unsigned run)
{
	const struct campaign_settings *campaign = &plan->settings->campaign;
	uint64_t greatest = 0;

	if (run <= campaign->seeds.count)
		return campaign->seeds.all[run - 1];
	for (size_t i = 0; i < campaign->seeds.count; i++)
		greatest = campaign->seeds.all[i] > greatest ? campaign->seeds.all[i] : greatest;
	return greatest + (run - campaign->seeds.count);
}

bool plan_in_shard(const char *id, unsigned shard, unsigned shards)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */

	for (const unsigned char *c = (const unsigned char *)id; *c; c++)
		hash = (hash ^ *c) * UINT64_C(0x100000001b3);
	return hash % shards == shard - 1;
}
