/* SPDX-License-Identifier: BSD-2-Clause */
/* route_sessions: the handlers of the API for the summary and the sessions. */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/handlers.h"
#include "proxy/control/routes.h"
#include "proxy/relay/relay.h"
#include "proxy/control/pending.h"
#include "proxy/run/clock.h"

#define PAGE_DEFAULT 1000 /* sessions per page */
#define PAGE_MAX 10000
#define PIECE_SESSIONS 50 /* sessions per piece of a long summary */

/* Returns the seconds from `now` until `until`; null if that has passed. */
static json_t *json_seconds_left(ns_t until, ns_t now)
{
	return until > now ? json_real((double)((until - now) / NS_MS) / 1e3) : json_null();
}

/* Returns a session with its last event and the rest of its blackouts. */
static json_t *json_session(const struct running *running, const struct run_summary_session *session)
{
	ns_t now = session->ended ? NS_NEVER : clock_now();
	json_t *json = run_summary_json_session(session), *event = NULL;
	struct text text = {0};

	if (feed_of_session(running->feed, session->number, &text))
		event = json_string(text.at);
	text_free(&text);
	json_object_set_new(json, "last_event", event ? event : json_null());
	json_object_set_new(json, "blackout_seconds_left",
	    json_pack("{s:o, s:o}", "up", json_seconds_left(session->blackout_until[WAY_UP], now), "down",
	        json_seconds_left(session->blackout_until[WAY_DOWN], now)));
	return json;
}

static bool read_number(
    struct call *call, const char *name, uint64_t default_value, uint64_t max, uint64_t *number)
{
	const char *text = evhttp_find_header(call->query, name);
	struct error error;

	*number = default_value;
	if (!text)
		return true;
	if (units_integer(text, number, &error)) {
		call_refuse(call, 400, "%s: %s", name, error.text);
		return false;
	}
	if (*number > max) {
		call_refuse(call, 400, "%s: `%s` is out of range; %" PRIu64 " is the most", name, text, max);
		return false;
	}
	return true;
}

/* ---- The summary, in pieces ---- */

struct long_summary {
	struct run_summary result;
	struct run_summary_json whole; /* the JSON without sessions, and the place where they belong */
	size_t sent;                   /* sessions */
	bool has_begun;
};

static void long_summary_free(void *user)
{
	struct long_summary *summary = user;

	run_summary_fini(&summary->result);
	text_free(&summary->whole.text);
	free(summary);
}

static void add_bytes(struct evbuffer *out, const char *bytes, size_t size)
{
	if (evbuffer_add(out, bytes, size))
		memory_out();
}

static void add_session(struct evbuffer *out, const struct run_summary_session *session, bool is_first)
{
	json_t *json = run_summary_json_session(session);
	struct text text = {0};

	text_add_word(&text, is_first ? "" : ",");
	dump_json(json, DUMP_COMPACT, &text);
	add_bytes(out, text.at, text.size);
	text_free(&text);
	json_decref(json);
}

static bool long_summary_next(void *user, struct evbuffer *out)
{
	struct long_summary *summary = user;
	const struct run_summary *result = &summary->result;
	const struct run_summary_json *whole = &summary->whole;
	size_t end = summary->sent + PIECE_SESSIONS;

	if (!summary->has_begun)
		add_bytes(out, whole->text.at, whole->place);
	summary->has_begun = true;
	for (; summary->sent < end && summary->sent < result->session_count; summary->sent++)
		add_session(out, &result->sessions[summary->sent], summary->sent == 0);
	if (summary->sent < result->session_count)
		return true;
	add_bytes(out, whole->text.at + whole->place, whole->text.size - whole->place);
	return false;
}

static void answer_long_summary(struct call *call, const struct run_summary *result)
{
	struct long_summary *summary = memory_new(1, sizeof(*summary));

	summary->result = *result;
	run_summary_json_begin(result, DUMP_COMPACT, &summary->whole);
	pending_pieces(
	    call, "application/json", (struct pieces){long_summary_next, long_summary_free, summary});
}

void route_get_summary(struct call *call)
{
	struct run_summary result;
	uint64_t max;

	if (!read_number(call, "sessions", UINT32_MAX, UINT32_MAX, &max))
		return;
	running_summary(call->running, max > 0, &result);
	if (result.session_count > max)
		result.session_count = max;
	if (result.session_count > PIECE_SESSIONS)
		return answer_long_summary(call, &result);
	call_answer(call, 200, run_summary_json(&result));
	run_summary_fini(&result);
}

/* ---- Sessions ---- */

/* The parameters of a page, and the sessions found. */
struct paging {
	const struct running *running;
	uint32_t after;
	size_t limit; /* sessions; one more is gathered to know whether there are more */
	bool live_only;
	const char *find; /* NULL: all */
	struct summary_snapshot now;
	size_t found_in_worker; /* sessions found in the worker that is being walked */
	unsigned last_number;   /* of the previous session: a lower number begins another worker */
};

static bool session_matches(const struct paging *paging, const struct run_summary_session *session)
{
	char device[ADDRESS_TEXT_SIZE];

	if (session->number <= paging->after || (paging->live_only && session->ended))
		return false;
	return !paging->find || strcasestr(session->section, paging->find) ||
	       strcasestr(session->link, paging->find) || strcasestr(session->identity, paging->find) ||
	       strcasestr(address_text(&session->device, device, sizeof(device)), paging->find);
}

static bool add_page_session(void *user, const struct session *session)
{
	struct paging *paging = user;
	struct summary_snapshot *now = &paging->now;

	if (session->number < paging->last_number)
		paging->found_in_worker = 0;
	paging->last_number = session->number;
	if (session->number <= paging->after)
		return true;
	summary_snapshot_session(now, session);
	if (session_matches(paging, &now->sessions[now->session_count - 1]))
		paging->found_in_worker++;
	else
		now->session_count--;
	return paging->found_in_worker <= paging->limit;
}

/* Gathers the sessions of the page in order of number. Sets *has_more if there are others after them. */
static void gather_page(struct paging *paging, bool *has_more)
{
	const struct running *running = paging->running;
	struct summary_snapshot *now = &paging->now;
	struct summary_facts facts;
	size_t kept = 0;

	summary_snapshot_begin(running->summary, true, now);
	workers_walk(running->workers, add_page_session, paging);
	workers_pause(running->workers);
	summary_snapshot_end(running->summary, workers_cores(running->workers), 0, now);
	workers_resume(running->workers);
	running_facts(running, &facts);
	for (size_t i = 0; i < now->session_count; i++)
		if (session_matches(paging, &now->sessions[i]))
			now->sessions[kept++] = now->sessions[i];
	*has_more = kept > paging->limit;
	now->session_count = *has_more ? paging->limit : kept;
	for (size_t i = 0; i < now->session_count; i++)
		summary_finish_session(&now->sessions[i], &facts);
}

void route_get_sessions(struct call *call)
{
	const char *live = evhttp_find_header(call->query, "live");
	struct paging paging = {.running = call->running, .find = evhttp_find_header(call->query, "find")};
	json_t *list, *next;
	uint64_t after, limit;
	bool has_more;

	if (!read_number(call, "after", 0, UINT32_MAX, &after) ||
	    !read_number(call, "limit", PAGE_DEFAULT, PAGE_MAX, &limit))
		return;
	if (live && strcmp(live, "yes") != 0 && strcmp(live, "no") != 0)
		return call_refuse(call, 400, "live: `%s` is unknown; it is yes or no", live);
	paging.after = (uint32_t)after;
	paging.limit = (size_t)limit;
	paging.live_only = live && strcmp(live, "yes") == 0;
	gather_page(&paging, &has_more);
	list = json_array();
	for (size_t i = 0; i < paging.now.session_count; i++)
		json_array_append_new(list, json_session(call->running, &paging.now.sessions[i]));
	next = has_more && paging.now.session_count
	           ? json_integer(paging.now.sessions[paging.now.session_count - 1].number)
	           : json_null();
	call_answer(call, 200, json_pack("{s:o, s:o}", "sessions", list, "next", next));
	summary_snapshot_free(&paging.now);
}

void route_get_session(struct call *call)
{
	struct running *running = call->running;
	struct summary_facts facts;
	struct run_summary_session session;
	char *end;
	unsigned long number = strtoul(call->name, &end, 10);
	bool is_known = false;

	if (!*end && number <= UINT32_MAX) {
		running_facts(running, &facts);
		workers_pause(running->workers);
		is_known = summary_session(
		    running->summary, workers_cores(running->workers), &facts, (uint32_t)number, &session);
		workers_resume(running->workers);
	}
	if (is_known)
		call_answer(call, 200, json_session(running, &session));
	else
		call_refuse(call, 404, "there is no session %s", call->name);
}
