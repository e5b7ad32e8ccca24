/* SPDX-License-Identifier: BSD-2-Clause */
/* case_environment: the variables that the commands of a case get. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/campaign/case_inside.h"

void case_put_variable(struct case_run *run, const char *variable)
{
	size_t name = strcspn(variable, "=");

	for (size_t i = 0; i < run->environment.count; i++)
		if (strncmp(run->environment.all[i], variable, name + 1) == 0) {
			free(run->environment.all[i]);
			run->environment.all[i] = memory_text(variable, strlen(variable));
			return;
		}
	run->environment.all = memory_resize(
	    run->environment.all, run->environment.count + 2, sizeof(*run->environment.all));
	run->environment.all[run->environment.count++] = memory_text(variable, strlen(variable));
	run->environment.all[run->environment.count] = NULL;
}

void case_set_variable(struct case_run *run, const char *name, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	text_add(&text, "DEADZONE_%s=", name);
	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	case_put_variable(run, text.at);
	text_free(&text);
}

/* Axis names may hold characters that names of variables cannot. */
static void set_axes(struct case_run *run)
{
	const struct settings *settings = run->context->plan->settings;

	for (size_t a = 0; run->task.cell && a < settings->axis_count; a++) {
		struct text name = {0};
		const struct axis_value *value = plan_value(run->context->plan, run->task.cell, a);

		text_add(&name, "AXIS_%s", settings->axes[a].name);
		for (char *c = name.at; *c; c++)
			*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : strchr(".-", *c) ? '_' : *c);
		case_set_variable(
		    run, name.at, "%s", settings->axes[a].is_include ? value->label : value->value);
		text_free(&name);
	}
}

static void environment_copy(struct environment *to, const struct environment *from)
{
	to->all = memory_new(from->count + 1, sizeof(*to->all));
	for (to->count = 0; to->count < from->count; to->count++)
		to->all[to->count] = memory_text(from->all[to->count], strlen(from->all[to->count]));
}

void environment_free(struct environment *environment)
{
	for (size_t i = 0; i < environment->count; i++)
		free(environment->all[i]);
	free(environment->all);
}

void case_fill_environment(struct case_run *run)
{
	const struct case_task *task = &run->task;

	for (char **variable = environ; *variable; variable++)
		case_put_variable(run, *variable);
	for (size_t i = 0; task->bench && i < task->bench->environment.count; i++)
		case_put_variable(run, task->bench->environment.all[i]);
	case_set_variable(run, "BENCH", "%s", task->bench ? task->bench->name : "");
	set_axes(run);
	/* A process that setup leaves running does not belong to the case, so it must not have its folder in
	 * its environment: the case would kill it at its end. */
	environment_copy(&run->bench_environment, &run->environment);
	if (!task->id)
		return;
	case_set_variable(run, "SEED", "%" PRIu64, task->seed);
	case_set_variable(run, "CASE", "%s", task->id);
	case_set_variable(run, "DIR", "%s", task->folder);
	case_set_variable(run, "SET", "%s/prepared.set", task->folder);
	case_set_variable(run, "ENV", "%s/prepared.env", task->folder);
	case_set_variable(run, "MEASURES", "%s/measures", task->folder);
	case_set_variable(run, "CONTROL", "unix:%s", run->socket);
}
