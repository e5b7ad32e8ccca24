/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/run/history.h"

#include <stdlib.h>

#include "base/memory.h"

struct sample {
	ns_t at;
	uint64_t received[WAYS], dropped;
	uint64_t delays[WAYS]; /* number of delays measured */
	double delay[WAYS];    /* their sum, seconds */
	uint64_t dark;         /* sessions in a blackout */
};

struct history {
	struct sample samples[HISTORY_SECONDS];
	size_t count, next;
};

struct history *history_new(void)
{
	return memory_new(1, sizeof(struct history));
}

void history_free(struct history *history)
{
	free(history);
}

void history_add(struct history *history, ns_t at, const struct summary_snapshot *now)
{
	struct sample *sample = &history->samples[history->next];

	*sample = (struct sample){.at = at, .dark = now->dark};
	for (int way = 0; way < WAYS; way++) {
		sample->received[way] = now->totals[way].received;
		sample->dropped += account_dropped(&now->totals[way]);
		sample->delays[way] = now->delays[way]->count;
		sample->delay[way] = (double)now->delays[way]->sum / 1e9;
	}
	history->next = (history->next + 1) % HISTORY_SECONDS;
	history->count += history->count < HISTORY_SECONDS;
}

json_t *history_json(const struct history *history)
{
	json_t *list = json_array();

	for (size_t i = 0; i < history->count; i++) {
		const struct sample *sample =
		    &history
		         ->samples[(history->next + HISTORY_SECONDS - history->count + i) % HISTORY_SECONDS];

		json_array_append_new(
		    list, json_pack("[I, I, I, I, f, I, f, I, I]", (json_int_t)(sample->at / NS_MS),
		              (json_int_t)sample->received[WAY_UP], (json_int_t)sample->received[WAY_DOWN],
		              (json_int_t)sample->dropped, sample->delay[WAY_UP],
		              (json_int_t)sample->delays[WAY_UP], sample->delay[WAY_DOWN],
		              (json_int_t)sample->delays[WAY_DOWN], (json_int_t)sample->dark));
	}
	return json_pack("{s:[s,s,s,s,s,s,s,s,s], s:o}", "columns", "unix_ms", "received_up", "received_down",
	    "dropped", "delay_up_seconds", "delayed_up", "delay_down_seconds", "delayed_down",
	    "sessions_in_blackout", "samples", list);
}
