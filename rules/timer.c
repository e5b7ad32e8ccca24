/* timer: what a time brings, rather than a datagram. */
#include <stdlib.h>

#include "rules/inside.h"

struct timer *timer_new(struct core *core, enum timer_kind kind, struct session *session, void *subject, ns_t due)
{
	struct timer *timer = malloc(sizeof(*timer));

	if (!timer)
		return NULL;
	*timer = (struct timer){.kind = kind, .session = session, .subject = subject};
	if (schedule_put(core->schedule, due, SCHEDULE_TIMER, timer)) {
		free(timer);
		return NULL;
	}
	if (session)
		core_session_hold(session);
	return timer;
}

/* ---- Idle sessions ---- */

static void idle_run(struct core *core, struct session *session, ns_t now)
{
	bool waits = session->ways[WAY_UP].account.queued || session->ways[WAY_DOWN].account.queued;
	ns_t due = ns_add(waits ? now : session->last, core->limits.idle_timeout);

	if (session->end || core->last_arrived)
		return;
	if (!waits && due <= now)
		core_session_end(core, session, SESSION_IDLE, now);
	else
		timer_new(core, TIMER_IDLE, session, session, due);
}

/* ---- Timed rules ---- */

static struct draw round_draw(const struct core *core, const struct session *session, const struct rule_state *state)
{
	uint64_t key = session ? session->key : chance_mix(core->limits.seed);

	return chance_draw(key, WAYS, state->rounds_ever, state->rule->luck);
}

/* The draws of a round: 0 is when it comes; the actions' follow. */
void timer_rule_arm(struct core *core, struct session *session, struct rule_state *state, ns_t from)
{
	const struct rule *rule = state->rule;
	const struct time_range *wait = state->rounds == 0 && rule->at_given ? &rule->at : &rule->every;
	ns_t due;

	if (state->timer)
		state->timer->subject = NULL;
	state->timer = NULL;
	if (!rule->timed || core->last_arrived || (state->rounds > 0 && !rule->every_given) || state->fired >= rule->limit)
		return;
	due = ns_add(from, chance_time(round_draw(core, session, state), 0, wait));
	state->timer = timer_new(core, TIMER_RULE, session, state, due);
}

static void act_everywhere(struct core *core, const struct rule_state *state, struct draw draw, ns_t now)
{
	const struct rule *rule = state->rule;

	for (size_t i = 0; i < rule->actions.count; i++) {
		const struct action *action = &rule->actions.all[i];
		struct time_range range = action->time;

		if (action->act == ACT_BLACKOUT || action->act == ACT_LINK)
			judge_remember(core, (struct standing){.rule = rule,
			                         .action = action,
			                         .until = ns_add(now, chance_time(draw, rule_draw(i, 0), &range))});
		for (struct session *session = core->oldest; session; session = session->newer)
			if (rule_concerns(rule, session, core->config))
				judge_act(core, session, action, rule->id, now, i, draw);
	}
}

static void rule_run(struct core *core, struct session *session, struct rule_state *state, ns_t now)
{
	const struct rule *rule = state->rule;
	struct draw draw = round_draw(core, session, state);

	state->timer = NULL;
	if (core->last_arrived || (session && session->end))
		return;
	state->rounds++;
	state->rounds_ever++;
	core->totals[rule->index].matched++;
	if (session) {
		for (size_t i = 0; i < rule->actions.count; i++)
			judge_act(core, session, &rule->actions.all[i], rule->id, now, i, draw);
	} else {
		act_everywhere(core, state, draw, now);
	}
	judge_fired(core, session, state, now);
	/* A rule that woke itself up again (`since` of its own watcher) was armed there. */
	if (!state->timer)
		timer_rule_arm(core, session, state, now);
}

void timer_run(struct core *core, struct timer *timer, ns_t now)
{
	struct session *session = timer->session;
	void *subject = timer->subject;

	if (subject) {
		switch (timer->kind) {
		case TIMER_IDLE: idle_run(core, session, now); break;
		case TIMER_DARK: path_light(core, session, now); break;
		case TIMER_RULE: rule_run(core, session, subject, now); break;
		case TIMER_HELD: path_held_expired(core, subject, now); break;
		case TIMER_GROUP: path_group_send(core, subject, now); break;
		case TIMER_PACK: path_pack_send(core, subject, now); break;
		}
	}
	free(timer);
	if (session)
		core_session_release(core, session);
}
