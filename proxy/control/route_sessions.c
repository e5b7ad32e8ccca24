/* SPDX-License-Identifier: BSD-2-Clause */
/* route_sessions: the handlers of the API that are about the summary and its sessions. */
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

#define PAGE_DEFAULT 1000 /* sessions of a page */
#define PAGE_MAX 10000
#define PIECE_SESSIONS 50 /* of a long summary that are sent at once */

static json_t *json_left(ns_t until, ns_t now)
{
	return until > now ? json_real((double)((until - now) / NS_MS) / 1e3) : json_null();
}

/* A session with what happened to it last, and what happens to it now. */
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
	    json_pack("{s:o, s:o}", "up", json_left(session->dark_until[WAY_UP], now), "down",
	        json_left(session->dark_until[WAY_DOWN], now)));
	return json;
}

static bool read_number(struct call *call, const char *name, uint64_t preset, uint64_t max, uint64_t *number)
{
	const char *text = evhttp_find_header(call->query, name);
	struct error error;

	*number = preset;
	if (!text)
		return true;
	if (units_whole(text, number, &error)) {
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
	struct run_summary_json whole;
	size_t sent; /* sessions */
	bool begun;
};

static void long_summary_free(void *user)
{
	struct long_summary *summary = user;

	run_summary_fini(&summary->result);
	text_free(&summary->whole.text);
	free(summary);
}

static void add_session(struct evbuffer *out, const struct run_summary_session *session, bool first)
{
	json_t *json = run_summary_json_session(session);
	struct text text = {0};

	text_add_word(&text, first ? "" : ",");
	dump_json(json, DUMP_COMPACT, &text);
	if (evbuffer_add(out, text.at, text.size))
		memory_out();
	text_free(&text);
	json_decref(json);
}

static bool long_summary_next(void *user, struct evbuffer *out)
{
	struct long_summary *summary = user;
	const struct run_summary *result = &summary->result;
	const struct run_summary_json *whole = &summary->whole;
	size_t end = summary->sent + PIECE_SESSIONS;

	if (!summary->begun)
		evbuffer_add(out, whole->text.at, whole->place);
	summary->begun = true;
	for (; summary->sent < end && summary->sent < result->session_count; summary->sent++)
		add_session(out, &result->sessions[summary->sent], summary->sent == 0);
	if (summary->sent < result->session_count)
		return true;
	evbuffer_add(out, whole->text.at + whole->place, whole->text.size - whole->place);
	return false;
}

static void answer_in_pieces(struct call *call, const struct run_summary *result)
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
	running_sheet(call->running, max > 0, &result);
	if (result.session_count > max)
		result.session_count = max;
	if (result.session_count > PIECE_SESSIONS)
		return answer_in_pieces(call, &result);
	call_answer(call, 200, run_summary_json(&result));
	run_summary_fini(&result);
}

/* ---- Sessions ---- */

/* Which of them, and those that were found. */
struct paging {
	const struct running *running;
	uint32_t after;
	size_t limit; /* one more is looked for, to know whether there are more */
	bool live_only;
	const char *find; /* NULL: all */
	struct summary_now now;
	size_t from_this;     /* found among the sessions of the worker that is being walked */
	unsigned worker_last; /* number met last: a lower one is another worker's */
};

static bool is_found(const struct paging *paging, const struct run_summary_session *session)
{
	char device[ADDRESS_TEXT_SIZE];

	if (session->number <= paging->after || (paging->live_only && session->ended))
		return false;
	return !paging->find || strcasestr(session->section, paging->find) ||
	       strcasestr(session->link, paging->find) || strcasestr(session->identity, paging->find) ||
	       strcasestr(address_text(&session->device, device, sizeof(device)), paging->find);
}

static bool page_session(void *user, const struct session *session)
{
	struct paging *paging = user;
	struct summary_now *now = &paging->now;

	if (session->number < paging->worker_last)
		paging->from_this = 0;
	paging->worker_last = session->number;
	if (session->number <= paging->after)
		return true;
	summary_now_session(now, session);
	if (is_found(paging, &now->sessions[now->session_count - 1]))
		paging->from_this++;
	else
		now->session_count--;
	return paging->from_this <= paging->limit;
}

/* The page's sessions, by number; `*more`: there are others behind them. */
static void page_gather(struct paging *paging, bool *more)
{
	const struct running *running = paging->running;
	struct summary_now *now = &paging->now;
	struct summary_facts facts;
	size_t kept = 0;

	summary_now_begin(running->summary, true, now);
	workers_walk(running->workers, page_session, paging);
	workers_pause(running->workers);
	summary_now_end(running->summary, workers_cores(running->workers), 0, now);
	workers_resume(running->workers);
	running_facts(running, &facts);
	for (size_t i = 0; i < now->session_count; i++)
		if (is_found(paging, &now->sessions[i]))
			now->sessions[kept++] = now->sessions[i];
	*more = kept > paging->limit;
	now->session_count = *more ? paging->limit : kept;
	for (size_t i = 0; i < now->session_count; i++)
		summary_place(&now->sessions[i], &facts);
}

void route_get_sessions(struct call *call)
{
	const char *live = evhttp_find_header(call->query, "live");
	struct paging paging = {.running = call->running, .find = evhttp_find_header(call->query, "find")};
	json_t *list, *next;
	uint64_t after, limit;
	bool more;

	if (!read_number(call, "after", 0, UINT32_MAX, &after) ||
	    !read_number(call, "limit", PAGE_DEFAULT, PAGE_MAX, &limit))
		return;
	if (live && strcmp(live, "yes") != 0 && strcmp(live, "no") != 0)
		return call_refuse(call, 400, "live: `%s` is unknown; it is yes or no", live);
	paging.after = (uint32_t)after;
	paging.limit = (size_t)limit;
	paging.live_only = live && strcmp(live, "yes") == 0;
	page_gather(&paging, &more);
	list = json_array();
	for (size_t i = 0; i < paging.now.session_count; i++)
		json_array_append_new(list, json_session(call->running, &paging.now.sessions[i]));
	next = more && paging.now.session_count
	           ? json_integer(paging.now.sessions[paging.now.session_count - 1].number)
	           : json_null();
	call_answer(call, 200, json_pack("{s:o, s:o}", "sessions", list, "next", next));
	summary_now_free(&paging.now);
}

void route_get_session(struct call *call)
{
	struct running *running = call->running;
	struct summary_facts facts;
	struct run_summary_session session;
	char *end;
	unsigned long number = strtoul(call->name, &end, 10);
	bool known = false;

	if (!*end && number <= UINT32_MAX) {
		running_facts(running, &facts);
		workers_pause(running->workers);
		known = summary_session(
		    running->summary, workers_cores(running->workers), &facts, (uint32_t)number, &session);
		workers_resume(running->workers);
	}
	if (known)
		call_answer(call, 200, json_session(running, &session));
	else
		call_refuse(call, 404, "there is no session %s", call->name);
}
