/* routes: the handlers of the API, and the table that leads to them. */
#include "proxy/control/routes.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/control.h"
#include "proxy/run/history.h"
#include "proxy/relay/relay.h"

extern const char live_frame[], live_frame_end[]; /* proxy/live.html, built in */

#define WAIT_PRESET (30 * NS_S)
#define WAIT_MOST NS_HOUR
#define MARK_MAX 1000
#define PAGE_PRESET 1000 /* sessions of a page */
#define PAGE_MAX 10000
#define PIECE_SESSIONS 50 /* of a long summary that are sent at once */

/* ---- What there is ---- */

void routes_page(struct call *call, int status)
{
	call_send(
	    call, status, "text/html; charset=utf-8", live_frame, (size_t)(live_frame_end - live_frame));
}

static void get_page(struct call *call)
{
	routes_page(call, 200);
}

/* How long a blackout goes on; null if there is none. */
static json_t *json_left(ns_t until, ns_t now)
{
	return until > now ? json_real((double)((until - now) / NS_MS) / 1e3) : json_null();
}

/* A session with what happened to it last, and what happens to it now. */
static json_t *json_session(const struct running *running, const struct sheet_session *session)
{
	ns_t now = session->ended ? NS_NEVER : relay_now();
	const struct feed_event *event = feed_of_session(running->feed, session->number);
	json_t *json = sheet_json_session(session), *text = event ? json_string(event->text) : NULL;

	json_object_set_new(json, "last_event", text ? text : json_null());
	json_object_set_new(json, "blackout_seconds_left",
	    json_pack("{s:o, s:o}", "up", json_left(session->dark_until[WAY_UP], now), "down",
	        json_left(session->dark_until[WAY_DOWN], now)));
	return json;
}

static bool read_number(struct call *call, const char *name, uint64_t preset, uint64_t most, uint64_t *number)
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
	if (*number > most) {
		call_refuse(call, 400, "%s: `%s` is out of range; %" PRIu64 " is the most", name, text, most);
		return false;
	}
	return true;
}

/* ---- The summary, in pieces ---- */

struct long_summary {
	struct sheet sheet;
	struct sheet_json whole;
	size_t sent; /* sessions */
	bool begun;
};

static void long_summary_free(void *user)
{
	struct long_summary *summary = user;

	sheet_fini(&summary->sheet);
	text_free(&summary->whole.text);
	free(summary);
}

static void add_session(struct evbuffer *out, const struct sheet_session *session, bool first)
{
	json_t *json = sheet_json_session(session);
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
	const struct sheet *sheet = &summary->sheet;
	const struct sheet_json *whole = &summary->whole;
	size_t end = summary->sent + PIECE_SESSIONS;

	if (!summary->begun)
		evbuffer_add(out, whole->text.at, whole->place);
	summary->begun = true;
	for (; summary->sent < end && summary->sent < sheet->session_count; summary->sent++)
		add_session(out, &sheet->sessions[summary->sent], summary->sent == 0);
	if (summary->sent < sheet->session_count)
		return true;
	evbuffer_add(out, whole->text.at + whole->place, whole->text.size - whole->place);
	return false;
}

static void answer_in_pieces(struct call *call, const struct sheet *sheet)
{
	struct long_summary *summary = memory_new(1, sizeof(*summary));

	summary->sheet = *sheet;
	sheet_json_begin(sheet, DUMP_COMPACT, &summary->whole);
	control_pieces(
	    call, "application/json", (struct pieces){long_summary_next, long_summary_free, summary});
}

static void get_summary(struct call *call)
{
	struct sheet sheet;
	uint64_t most;

	if (!read_number(call, "sessions", UINT32_MAX, UINT32_MAX, &most))
		return;
	running_sheet(call->running, most > 0, &sheet);
	if (sheet.session_count > most)
		sheet.session_count = most;
	if (sheet.session_count > PIECE_SESSIONS)
		return answer_in_pieces(call, &sheet);
	call_answer(call, 200, sheet_json(&sheet));
	sheet_fini(&sheet);
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

static bool is_found(const struct paging *paging, const struct sheet_session *session)
{
	char device[ADDRESS_TEXT_ROOM];

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
	crew_walk(running->crew, page_session, paging);
	crew_halt(running->crew);
	summary_now_end(running->summary, crew_cores(running->crew), 0, now);
	crew_go(running->crew);
	running_facts(running, &facts);
	for (size_t i = 0; i < now->session_count; i++)
		if (is_found(paging, &now->sessions[i]))
			now->sessions[kept++] = now->sessions[i];
	*more = kept > paging->limit;
	now->session_count = *more ? paging->limit : kept;
	for (size_t i = 0; i < now->session_count; i++)
		summary_place(&now->sessions[i], &facts);
}

static void get_sessions(struct call *call)
{
	const char *live = evhttp_find_header(call->query, "live");
	struct paging paging = {.running = call->running, .find = evhttp_find_header(call->query, "find")};
	json_t *list, *next;
	uint64_t after, limit;
	bool more;

	if (!read_number(call, "after", 0, UINT32_MAX, &after) ||
	    !read_number(call, "limit", PAGE_PRESET, PAGE_MAX, &limit))
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

static void get_session(struct call *call)
{
	struct running *running = call->running;
	struct summary_facts facts;
	struct sheet_session session;
	char *end;
	unsigned long number = strtoul(call->name, &end, 10);
	bool known = false;

	if (!*end && number <= UINT32_MAX) {
		running_facts(running, &facts);
		crew_halt(running->crew);
		known = summary_session(
		    running->summary, crew_cores(running->crew), &facts, (uint32_t)number, &session);
		crew_go(running->crew);
	}
	if (known)
		call_answer(call, 200, json_session(running, &session));
	else
		call_refuse(call, 404, "there is no session %s", call->name);
}

static json_t *names_of_rules(const struct config *config)
{
	json_t *list = json_array();

	for (size_t i = 0; i < config->rule_count; i++)
		json_array_append_new(list, json_pack("{s:s, s:b}", "name", config->rules[i].name, "enabled",
		                                !config->rules[i].disabled));
	return list;
}

static void get_config(struct call *call)
{
	const struct running *running = call->running;
	const struct config *config = running->setup->config;
	json_t *links = json_array(), *devices = json_array(), *listen = json_array(), *ini;
	struct text visible = {0};
	char text[ADDRESS_TEXT_ROOM];

	text_add_visible(&visible, ini_text(running->setup->ini), strlen(ini_text(running->setup->ini)));
	ini = json_string(visible.at ? visible.at : "");
	text_free(&visible);
	for (size_t i = 1; i < config->link_count; i++) /* the first is the one that no section names */
		json_array_append_new(links, json_string(config->links[i].name));
	for (size_t i = 0; i < config->device_count; i++)
		json_array_append_new(devices, json_string(config->devices[i].name));
	for (size_t i = 0; i < crew_listener_count(running->crew); i++)
		json_array_append_new(
		    listen, json_string(address_text(crew_listener(running->crew, i), text, sizeof(text))));
	call_answer(call, 200,
	    json_pack("{s:s, s:I, s:i, s:o, s:s, s:o, s:o, s:o, s:o}", "version", DEADZONE_VERSION, "seed",
	        (json_int_t)running->seed, "generation", (int)running->generation, "listen", listen,
	        "upstream", running->setup->proxy.upstream, "links", links, "devices", devices, "rules",
	        names_of_rules(config), "ini", ini));
}

/* The keys of a section as they are in force, `like` resolved. */
static json_t *json_keys(const struct ini_section *section)
{
	json_t *keys = json_object();

	for (size_t i = 0; section && i < section->entry_count; i++)
		if (strcmp(section->entries[i].key, "like") != 0)
			json_object_set_new(
			    keys, section->entries[i].key, json_string(section->entries[i].value));
	return keys;
}

static void get_links(struct call *call)
{
	const struct setup *setup = call->running->setup;
	const struct config *config = setup->config;
	json_t *list = json_array();

	for (size_t i = 1; i < config->link_count; i++) /* the first is the one that no section names */
		json_array_append_new(
		    list, json_pack("{s:s, s:o}", "name", config->links[i].name, "keys",
		              json_keys(ini_find(setup->ini, "link", config->links[i].name))));
	call_answer(call, 200, json_pack("{s:o}", "links", list));
}

static void get_history(struct call *call)
{
	call_answer(call, 200, history_json(call->running->history));
}

static void get_events(struct call *call)
{
	const char *last = evhttp_find_header(evhttp_request_get_input_headers(call->http), "Last-Event-ID");

	control_stream(call, last ? strtoull(last, NULL, 10) : feed_newest(call->running->feed));
}

static void get_metrics(struct call *call)
{
	struct text text = {0};

	metrics_write(call->running, &text);
	call_send(call, 200, "text/plain; version=0.0.4; charset=utf-8", text.at, text.size);
	text_free(&text);
}

static void get_openapi(struct call *call)
{
	call_answer(call, 200, routes_openapi());
}

/* ---- What can be done ---- */

static bool rule_is_there(struct call *call, const char *name)
{
	if (config_rule(call->running->setup->config, name))
		return true;
	call_refuse(call, 404, "there is no [rule %s]", name);
	return false;
}

static bool one_line(struct call *call, const char *key, const char *text)
{
	if (!strpbrk(text, "\r\n"))
		return true;
	call_refuse(call, 400, "`%s` must be one line", key);
	return false;
}

static void answer_change(struct call *call, const char *line)
{
	struct live_result result = running_change(call->running, line);

	switch (result.status) {
	case LIVE_DONE:
		call_answer(
		    call, 200, json_pack("{s:b, s:I}", "done", 1, "sessions", (json_int_t)result.sessions));
		break;
	case LIVE_WRONG: call_refuse(call, 400, "%s", result.error.at); break;
	case LIVE_UNKNOWN: call_refuse(call, 404, "%s", result.error.at); break;
	case LIVE_CONFLICT: call_refuse(call, 409, "%s", result.error.at); break;
	}
	text_free(&result.error);
}

/* "session=3 ", where the body names one; false after it was refused. */
static bool add_target(struct call *call, struct text *line)
{
	const json_t *session = json_object_get(call->body, "session");
	const char *identity = json_string_value(json_object_get(call->body, "identity")),
	           *device = json_string_value(json_object_get(call->body, "device"));

	if ((session != NULL) + (identity != NULL) + (device != NULL) > 1) {
		call_refuse(call, 400, "`session`, `identity` and `device` exclude each other");
		return false;
	}
	if ((identity && strpbrk(identity, " \r\n")) || (device && strpbrk(device, " \r\n"))) {
		call_refuse(call, 400, "a name has no blanks");
		return false;
	}
	if (session)
		text_add(line, "session=%" JSON_INTEGER_FORMAT " ", json_integer_value(session));
	if (identity)
		text_add(line, "identity=%s ", identity);
	if (device)
		text_add(line, "device=%s ", device);
	return true;
}

static void post_do(struct call *call)
{
	const char *action = json_string_value(json_object_get(call->body, "do"));
	struct text line = {0};

	text_add(&line, "do ");
	if (one_line(call, "do", action) && add_target(call, &line)) {
		text_add(&line, "%s", action);
		answer_change(call, line.at);
	}
	text_free(&line);
}

static void post_fire(struct call *call)
{
	struct text line = {0};

	text_add(&line, "fire ");
	if (rule_is_there(call, call->name) && add_target(call, &line)) {
		text_add(&line, "%s", call->name);
		answer_change(call, line.at);
	}
	text_free(&line);
}

/* A value as it would stand in an ini file; false where it cannot. */
static bool add_value(struct text *line, const json_t *value)
{
	size_t i;
	json_t *one;

	if (json_is_string(value))
		text_add(line, "%s", json_string_value(value));
	else if (json_is_integer(value))
		text_add(line, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		text_add(line, "%s", json_is_true(value) ? "yes" : "no");
	else if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, one)
	{
		if (json_is_array(one))
			return false;
		text_add(line, "%s", i ? ", " : "");
		if (!add_value(line, one))
			return false;
	}
	return true;
}

/* "[rule dark] do = drop", one line; false after it was refused. */
static bool add_key(struct call *call, const char *title, const char *key, const char *sign,
    const json_t *value, struct text *line)
{
	size_t at = line->size;

	text_add(line, "%s[%s] %s %s ", line->size > 3 ? "\n" : " ", title, key, sign);
	if (add_value(line, value) && !strpbrk(line->at + at + 1, "\r\n"))
		return true;
	call_refuse(call, 400, "[%s] %s: its value is a string, as in the ini file, of one line", title, key);
	return false;
}

/* Is it a key that may stand several times, each a value of its own? */
static bool is_repeated(const struct section_kind *kind, const char *key)
{
	const struct key *row;
	int way;

	row = keys_find(kind, key, &way);
	return row && row->flags & KEY_REPEATED;
}

/* Keys into "set [link NAME] KEY = VALUE" lines; false after it was refused. */
static bool add_keys(struct call *call, const struct section_kind *kind, const char *name, struct text *line)
{
	struct text title = {0};
	const char *key;
	json_t *value, *one;
	bool is_right = true;
	size_t i;

	text_add(&title, "%s %s", kind->name, name);
	text_add(line, "set");
	json_object_foreach(call->body, key, value)
	{
		if (!is_right || (name != call->name && strcmp(key, "name") == 0)) /* the new section's */
			continue;
		if (!json_is_array(value) || !is_repeated(kind, key)) {
			is_right = add_key(call, title.at, key, "=", value, line);
			continue;
		}
		json_array_foreach(value, i, one)
		    is_right = is_right && add_key(call, title.at, key, i ? "+=" : "=", one, line);
	}
	text_free(&title);
	if (is_right && line->size == 3) {
		call_refuse(call, 400, "the body names no key");
		return false;
	}
	return is_right;
}

static void post_section(struct call *call, const struct section_kind *kind, bool is_there)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));
	struct text line = {0};

	if (!ini_name_sound(name) || !*name)
		call_refuse(call, 400, "`name` has letters, digits, `.`, `_` and `-`");
	else if (is_there)
		call_refuse(call, 409, "there is a [%s %s] already; PATCH /api/v1/%ss/%s changes it",
		    kind->name, name, kind->name, name);
	else if (add_keys(call, kind, name, &line))
		answer_change(call, line.at);
	text_free(&line);
}

static void post_link(struct call *call)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));

	post_section(call, &config_link_kind, config_link(call->running->setup->config, name) != NULL);
}

static void post_rule(struct call *call)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));

	post_section(call, &config_rule_kind, config_rule(call->running->setup->config, name) != NULL);
}

static void patch_rule(struct call *call)
{
	const json_t *enabled = json_object_get(call->body, "enabled");
	struct text line = {0};

	if (!rule_is_there(call, call->name))
		return;
	if (enabled && (json_object_size(call->body) > 1 || !json_is_boolean(enabled))) {
		call_refuse(call, 400, "`enabled` is true or false, and stands alone");
		return;
	}
	if (enabled) {
		text_add(&line, "%s %s", json_is_true(enabled) ? "enable" : "disable", call->name);
		answer_change(call, line.at);
	} else if (add_keys(call, &config_rule_kind, call->name, &line)) {
		answer_change(call, line.at);
	}
	text_free(&line);
}

static void patch_link(struct call *call)
{
	const struct config *config = call->running->setup->config;
	const struct link *link = config_link(config, call->name);
	struct text line = {0};

	if (!link || link == &config->links[0]) /* the clean link is no section's */
		call_refuse(call, 404, "there is no [link %s]", call->name);
	else if (add_keys(call, &config_link_kind, call->name, &line))
		answer_change(call, line.at);
	text_free(&line);
}

static void get_wait(struct call *call)
{
	const char *rule = evhttp_find_header(call->query, "rule"),
	           *count_text = evhttp_find_header(call->query, "count"),
	           *timeout_text = evhttp_find_header(call->query, "timeout");
	uint64_t count = 1;
	ns_t timeout = WAIT_PRESET;
	struct error error;

	if (!rule_is_there(call, rule))
		return;
	if (count_text && units_whole(count_text, &count, &error))
		call_refuse(call, 400, "count: %s", error.text);
	else if (timeout_text && units_time(timeout_text, &timeout, &error))
		call_refuse(call, 400, "timeout: %s", error.text);
	else if (timeout > WAIT_MOST)
		call_refuse(call, 400, "timeout: `%s` is out of range; 1h is the most", timeout_text);
	else
		control_wait(call, rule, count, timeout);
}

static void post_mark(struct call *call)
{
	const char *text = json_string_value(json_object_get(call->body, "text"));
	struct text event = {0};

	if (!one_line(call, "text", text))
		return;
	if (strlen(text) > MARK_MAX) {
		call_refuse(call, 400, "`text` is longer than %d bytes", MARK_MAX);
		return;
	}
	text_add(&event, "mark %s", text);
	running_event(call->running, event.at);
	call_answer(call, 200, json_pack("{s:b}", "done", 1));
	text_free(&event);
}

static void post_reload(struct call *call)
{
	struct text told = {0};
	size_t errors = running_reload(call->running, &told);

	control_reload(call->control);
	if (errors)
		call_refuse(call, 400, "%s", told.at ? told.at : "the files could not be read");
	else
		call_answer(call, 200,
		    json_pack("{s:b, s:i}", "done", 1, "generation", (int)call->running->generation));
	text_free(&told);
}

static void post_rotate(struct call *call)
{
	const char *why;

	if (running_rotate(call->running, &why))
		call_answer(call, 200, json_pack("{s:b}", "done", 1));
	else
		call_refuse(call, 409, "%s", why);
}

static void post_stop(struct call *call)
{
	call_answer(call, 202, json_pack("{s:b}", "done", 1));
	control_stop(call->control);
}

/* ---- The table ---- */

#define FOR_WHOM                                                                                             \
	{"session", "integer", "this session, by number", false},                                            \
	    {"identity", "string", "sessions of this identity, or of this address", false},                  \
	{                                                                                                    \
		"device", "string", "sessions of this [device] section", false                               \
	}

const struct route route_table[] = {
    {"GET", "/", get_page, "the live page", .answer = "text/html"},
    {"GET", "/api/v1/summary", get_summary, "the summary's JSON, now",
        .query = {{"sessions", "integer", "list at most so many of them (all)", false}},
        .answer = "application/json"},
    {"GET", "/api/v1/sessions", get_sessions,
        "its sessions by number, each with its last event; `next` is the `after` of the next page, or null",
        .query = {{"after", "integer", "those above this number (0)", false},
            {"limit", "integer", "at most so many (1000; 10000 is the most)", false},
            {"live", "string", "yes: only those that go on (no)", false},
            {"find", "string", "only those whose address, section, link or identity contains this", false}},
        .answer = "application/json"},
    {"GET", "/api/v1/sessions/{number}", get_session, "one session", .answer = "application/json"},
    {"GET", "/api/v1/config", get_config, "seed, ini text in force, generation, and what is there by name",
        .answer = "application/json"},
    {"GET", "/api/v1/links", get_links, "each link's keys and values in force", .answer = "application/json"},
    {"GET", "/api/v1/history", get_history, "the run's totals once a second, of the last ten minutes",
        .answer = "application/json"},
    {"GET", "/api/v1/events", get_events,
        "server-sent events: the lines of the capture's events, as they happen; Last-Event-ID resumes",
        .answer = "text/event-stream"},
    {"GET", "/api/v1/wait", get_wait,
        "returns 200 once the rule has fired COUNT times, or 408 when the time is over",
        .query = {{"rule", "string", "its name", true}, {"count", "integer", "how often (1)", false},
            {"timeout", "string", "how long to wait (30s)", false}},
        .answer = "application/json"},
    {"GET", "/api/v1/openapi.json", get_openapi, "this table as OpenAPI 3", .answer = "application/json"},
    {"POST", "/api/v1/do", post_do, "any action that needs no datagram, for the sessions named, or for all",
        .body = {{"do", "string", "the action, as in the ini file: blackout, rebind, link or note", true},
            FOR_WHOM},
        .answer = "application/json"},
    {"POST", "/api/v1/rules/{name}/fire", post_fire, "that rule's actions; it counts as fired",
        .body = {FOR_WHOM}, .answer = "application/json"},
    {"POST", "/api/v1/links", post_link, "a new [link NAME] with these keys, as in the ini file",
        .body = {{"name", "string", "its name", true}}, .any_keys = true, .answer = "application/json"},
    {"POST", "/api/v1/rules", post_rule, "a new [rule NAME] behind all others; `do` may be a list of actions",
        .body = {{"name", "string", "its name", true}}, .any_keys = true, .answer = "application/json"},
    {"PATCH", "/api/v1/rules/{name}", patch_rule,
        "`enabled`: false or true; or keys and values as in the ini file", .any_keys = true,
        .answer = "application/json"},
    {"PATCH", "/api/v1/links/{name}", patch_link, "keys and values as in the ini file, whole or not at all",
        .any_keys = true, .answer = "application/json"},
    {"POST", "/api/v1/mark", post_mark, "a text that stands in the capture as an event",
        .body = {{"text", "string", "one line", true}}, .answer = "application/json"},
    {"POST", "/api/v1/reload", post_reload, "as SIGHUP: the ini files anew", .answer = "application/json"},
    {"POST", "/api/v1/capture/rotate", post_rotate, "as SIGUSR2: a new capture file",
        .answer = "application/json"},
    {"POST", "/api/v1/stop", post_stop, "as SIGTERM", .answer = "application/json"},
    {"GET", "/metrics", get_metrics, "Prometheus text", .answer = "text/plain"},
};
const size_t route_count = sizeof(route_table) / sizeof(*route_table);

/* ---- OpenAPI ---- */

static json_t *json_body(const struct route *route)
{
	json_t *properties = json_object(), *required = json_array(), *schema;

	for (size_t i = 0; i < ROUTE_FIELDS_MAX && route->body[i].name; i++) {
		json_object_set_new(properties, route->body[i].name,
		    json_pack("{s:s, s:s}", "type", route->body[i].type, "description", route->body[i].what));
		if (route->body[i].required)
			json_array_append_new(required, json_string(route->body[i].name));
	}
	schema = json_pack("{s:s, s:b}", "type", "object", "additionalProperties", route->any_keys);
	if (json_object_size(properties))
		json_object_set(schema, "properties", properties);
	if (json_array_size(required))
		json_object_set(schema, "required", required);
	json_decref(properties);
	json_decref(required);
	return json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema", schema);
}

static json_t *json_parameters(const struct route *route)
{
	const char *brace = strchr(route->path, '{');
	json_t *list = json_array();

	if (brace) {
		json_t *name = json_stringn(brace + 1, strcspn(brace + 1, "}"));

		json_array_append_new(list, json_pack("{s:o, s:s, s:b, s:{s:s}}", "name", name, "in", "path",
		                                "required", 1, "schema", "type", "string"));
	}
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && route->query[i].name; i++)
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}", "name", route->query[i].name, "in",
		              "query", "required", route->query[i].required, "description",
		              route->query[i].what, "schema", "type", route->query[i].type));
	return list;
}

json_t *routes_openapi(void)
{
	json_t *paths = json_object();

	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &route_table[i];
		json_t *path = json_object_get(paths, route->path), *parameters = json_parameters(route),
		       *operation;
		char method[8] = "";

		for (size_t k = 0; route->method[k]; k++)
			method[k] = (char)(route->method[k] | 0x20);
		operation = json_pack("{s:s, s:{s:{s:s, s:{s:{}}}, s:{s:s}}}", "summary", route->what,
		    "responses", "200", "description", "done", "content", route->answer, "default",
		    "description", "refused: {\"error\": \"…\"}, status 400, 401, 404, 405, 408, 409 or 413");
		if (json_array_size(parameters))
			json_object_set(operation, "parameters", parameters);
		json_decref(parameters);
		if (route->any_keys || route->body[0].name)
			json_object_set_new(operation, "requestBody", json_body(route));
		if (!path) {
			path = json_object();
			json_object_set_new(paths, route->path, path);
		}
		json_object_set_new(path, method, operation);
	}
	return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:{s:{s:s, s:s}}}, s:[{s:[]}, {}]}", "openapi",
	    "3.0.3", "info", "title", "deadzone", "version", DEADZONE_VERSION, "description",
	    "Steering a network impairment proxy while it runs.", "paths", paths, "components",
	    "securitySchemes", "token", "type", "http", "scheme", "bearer", "security", "token");
}
