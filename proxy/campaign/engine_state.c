/* SPDX-License-Identifier: BSD-2-Clause */
/* engine_state: what all parts of the engine use: its end, signals, and the renewal of claims. */
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proxy/campaign/engine_inside.h"

void engine_stop(struct engine *engine, const char *format, ...)
{
	va_list list;

	engine->stopping = true;
	if (engine->end->reason[0])
		return; /* the first reason counts */
	va_start(list, format);
	vsnprintf(engine->end->reason, sizeof(engine->end->reason), format, list);
	va_end(list);
}

const struct campaign_settings *engine_settings(const struct engine *engine)
{
	return &engine->plan->settings->campaign;
}

const struct unit *engine_unit(const struct engine *engine, const struct work *work)
{
	return &engine->plan->units[work->unit];
}

void engine_handle_signal(struct engine *engine, ns_t now)
{
	struct signalfd_siginfo info;

	if (read(engine->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	engine->signal_count++;
	engine_stop(engine, "%s", info.ssi_signo == SIGINT ? "interrupted" : "terminated");
	for (size_t i = 0; i < engine->slot_count; i++) {
		struct slot *slot = &engine->slots[i];

		if (!slot->run)
			continue;
		if (engine->signal_count > 1)
			case_kill(slot->run);
		else
			case_interrupt(slot->run, now);
	}
}

void engine_renew_claims(struct engine *engine, ns_t now)
{
	if (now < engine->renewed + CLAIM_RENEWAL)
		return;
	engine->renewed = now;
	for (size_t i = engine->first_open; i < engine->work_count; i++)
		claim_renew(&engine->works[i].claim);
	for (size_t i = 0; i < engine->bench_count; i++)
		claim_renew(&engine->benches[i].claim);
}
