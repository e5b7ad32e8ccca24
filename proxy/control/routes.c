/* SPDX-License-Identifier: BSD-2-Clause */
/* routes: the table of the API, and the handlers that only read. */
#include "proxy/control/routes.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/handlers.h"
#include "proxy/control/pending.h"
#include "proxy/run/history.h"
#include "proxy/relay/relay.h"

extern const char live_frame[], live_frame_end[]; /* proxy/live.html, built in */

/* ---- Handlers ---- */

void routes_page(struct call *call, int status)
{
	call_send(
	    call, status, "text/html; charset=utf-8", live_frame, (size_t)(live_frame_end - live_frame));
}

static void get_page(struct call *call)
{
	routes_page(call, 200);
}

/* Returns the name of each rule, and whether it is enabled. */
static json_t *json_rules(const struct config *config)
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
	char text[ADDRESS_TEXT_SIZE];

	text_add_visible(&visible, ini_text(running->setup->ini), strlen(ini_text(running->setup->ini)));
	ini = json_string(visible.at ? visible.at : "");
	text_free(&visible);
	for (size_t i = 1; i < config->link_count; i++) /* link 0 is the clean link, of no section */
		json_array_append_new(links, json_string(config->links[i].name));
	for (size_t i = 0; i < config->device_count; i++)
		json_array_append_new(devices, json_string(config->devices[i].name));
	for (size_t i = 0; i < workers_listener_count(running->workers); i++)
		json_array_append_new(listen,
		    json_string(address_text(workers_listener(running->workers, i), text, sizeof(text))));
	call_answer(call, 200,
	    json_pack("{s:s, s:I, s:i, s:o, s:s, s:o, s:o, s:o, s:o}", "version", DEADZONE_VERSION, "seed",
	        (json_int_t)running->seed, "generation", (int)running->generation, "listen", listen,
	        "upstream", running->setup->proxy.upstream, "links", links, "devices", devices, "rules",
	        json_rules(config), "ini", ini));
}

/* Returns the keys of a section in force, with `like` resolved. */
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

	for (size_t i = 1; i < config->link_count; i++) /* link 0 is the clean link, of no section */
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
	const char *last_id = evhttp_find_header(
	    evhttp_request_get_input_headers(call->http), "Last-Event-ID");

	pending_stream(call, last_id ? strtoull(last_id, NULL, 10) : feed_newest(call->running->feed));
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

/* ---- The table ---- */

#define TARGET_FIELDS                                                                                        \
	{"session", "integer", "this session, by number", false},                                            \
	    {"identity", "string", "sessions of this identity, or of this address", false},                  \
	{                                                                                                    \
		"device", "string", "sessions of this [device] section", false                               \
	}

const struct route route_table[] = {
    {"GET", "/", get_page, "the live page", .answer = "text/html"},
    {"GET", "/api/v1/summary", route_get_summary, "the summary's JSON, now",
        .query = {{"sessions", "integer", "list at most this many sessions (all)", false}},
        .answer = "application/json"},
    {"GET", "/api/v1/sessions", route_get_sessions,
        "sessions by number, each with its last event; `next` is the `after` of the next page, or null",
        .query = {{"after", "integer", "only those above this number (0)", false},
            {"limit", "integer", "at most this many (1000; 10000 is the limit)", false},
            {"live", "string", "yes: only active ones (no)", false},
            {"find", "string", "only those whose address, section, link or identity contains this", false}},
        .answer = "application/json"},
    {"GET", "/api/v1/sessions/{number}", route_get_session, "one session", .answer = "application/json"},
    {"GET", "/api/v1/config", get_config,
        "seed, generation, ini text in force, and the names of links, devices and rules",
        .answer = "application/json"},
    {"GET", "/api/v1/links", get_links, "each link's keys and values in force", .answer = "application/json"},
    {"GET", "/api/v1/history", get_history, "the run's totals, once a second, over the last ten minutes",
        .answer = "application/json"},
    {"GET", "/api/v1/events", get_events,
        "server-sent events: the lines of the capture's events, as they happen; Last-Event-ID resumes",
        .answer = "text/event-stream"},
    {"GET", "/api/v1/wait", route_get_wait,
        "returns 200 once the rule has fired `count` times, or 408 when the time is over",
        .query = {{"rule", "string", "its name", true}, {"count", "integer", "how often (1)", false},
            {"timeout", "string", "how long to wait (30s)", false}},
        .answer = "application/json"},
    {"GET", "/api/v1/openapi.json", get_openapi, "this table as OpenAPI 3", .answer = "application/json"},
    {"POST", "/api/v1/do", route_post_do,
        "run an action that needs no datagram, for the sessions named or for all",
        .body = {{"do", "string", "the action, as in the ini file: blackout, rebind, link, upstream or note",
                     true},
            TARGET_FIELDS},
        .answer = "application/json"},
    {"POST", "/api/v1/rules/{name}/fire", route_post_fire, "run the actions of that rule; it counts as fired",
        .body = {TARGET_FIELDS}, .answer = "application/json"},
    {"POST", "/api/v1/links", route_post_link, "add a [link NAME] with these keys, as in the ini file",
        .body = {{"name", "string", "its name", true}}, .any_keys = true, .answer = "application/json"},
    {"POST", "/api/v1/rules", route_post_rule,
        "add a [rule NAME] after all others; `do` may be a list of actions",
        .body = {{"name", "string", "its name", true}}, .any_keys = true, .answer = "application/json"},
    {"PATCH", "/api/v1/rules/{name}", route_patch_rule,
        "change `enabled` (true or false), or keys as in the ini file", .any_keys = true,
        .answer = "application/json"},
    {"PATCH", "/api/v1/links/{name}", route_patch_link, "change keys as in the ini file, all or none of them",
        .any_keys = true, .answer = "application/json"},
    {"POST", "/api/v1/mark", route_post_mark, "write a text to the capture as an event",
        .body = {{"text", "string", "one line", true}}, .answer = "application/json"},
    {"POST", "/api/v1/reload", route_post_reload, "as SIGHUP: read the ini files again",
        .answer = "application/json"},
    {"POST", "/api/v1/capture/rotate", route_post_rotate, "as SIGUSR2: start a new capture file",
        .answer = "application/json"},
    {"POST", "/api/v1/stop", route_post_stop, "as SIGTERM: stop the run", .answer = "application/json"},
    {"GET", "/metrics", get_metrics, "Prometheus text", .answer = "text/plain"},
};
const size_t route_count = sizeof(route_table) / sizeof(*route_table);
