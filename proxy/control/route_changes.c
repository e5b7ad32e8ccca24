/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route_changes: the handlers of the API that change a run: actions, links, rules. Most translate the request
 * into one line of the language of proxy/run/live.h, which checks and applies it.
 */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/handlers.h"
#include "proxy/control/routes.h"
#include "proxy/relay/relay.h"
#include "proxy/control/control.h"
#include "proxy/control/pending.h"

#define WAIT_DEFAULT (30 * NS_S)
#define WAIT_MAX NS_HOUR
#define MARK_MAX 1000 /* bytes */

static bool check_rule_exists(struct call *call, const char *name)
{
	if (config_rule(call->running->setup->config, name))
		return true;
	call_refuse(call, 404, "there is no [rule %s]", name);
	return false;
}

static bool check_one_line(struct call *call, const char *key, const char *text)
{
	if (!strpbrk(text, "\r\n"))
		return true;
	call_refuse(call, 400, "`%s` must be one line", key);
	return false;
}

static void answer_change(struct call *call, const char *line)
{
	struct live_result result = running_change(call->running, line);

	call->made = result.status == LIVE_DONE;
	switch (result.status) {
	case LIVE_DONE:
		call_answer(
		    call, 200, json_pack("{s:b, s:I}", "done", 1, "sessions", (json_int_t)result.sessions));
		break;
	case LIVE_INVALID: call_refuse(call, 400, "%s", result.error.at); break;
	case LIVE_UNKNOWN: call_refuse(call, 404, "%s", result.error.at); break;
	case LIVE_CONFLICT: call_refuse(call, 409, "%s", result.error.at); break;
	}
	text_free(&result.error);
}

/* Appends the target, such as "session=3 ", if the body names one. Returns false after refusing the call. */
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
		call_refuse(call, 400, "a name must not contain blanks");
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

void route_post_do(struct call *call)
{
	const char *action = json_string_value(json_object_get(call->body, "do"));
	struct text line = {0};

	text_add(&line, "do ");
	if (check_one_line(call, "do", action) && add_target(call, &line)) {
		text_add(&line, "%s", action);
		answer_change(call, line.at);
	}
	text_free(&line);
}

void route_post_fire(struct call *call)
{
	struct text line = {0};

	text_add(&line, "fire ");
	if (check_rule_exists(call, call->name) && add_target(call, &line)) {
		text_add(&line, "%s", call->name);
		answer_change(call, line.at);
	}
	text_free(&line);
}

/* Appends a JSON value as it would be written in an ini file. Returns false if that is impossible. */
static bool add_value(struct text *line, const json_t *value)
{
	size_t i;
	json_t *element;

	if (json_is_string(value))
		text_add(line, "%s", json_string_value(value));
	else if (json_is_integer(value))
		text_add(line, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		text_add(line, "%s", json_is_true(value) ? "yes" : "no");
	else if (!json_is_array(value))
		return false;
	json_array_foreach(value, i, element)
	{
		if (json_is_array(element))
			return false;
		text_add(line, "%s", i ? ", " : "");
		if (!add_value(line, element))
			return false;
	}
	return true;
}

/* Appends one setting, such as "[rule dark] do = drop". Returns false after refusing the call. */
static bool add_key(struct call *call, const char *title, const char *key, const char *sign,
    const json_t *value, struct text *line)
{
	size_t start = line->size;

	text_add(line, "%s[%s] %s %s ", line->size > 3 ? "\n" : " ", title, key, sign);
	if (add_value(line, value) && !strpbrk(line->at + start + 1, "\r\n"))
		return true;
	call_refuse(
	    call, 400, "[%s] %s: the value must be a string of one line, as in the ini file", title, key);
	return false;
}

/* Returns whether the key may be given several times, one value each. */
static bool key_is_repeated(const struct section_kind *kind, const char *key)
{
	const struct key *row;
	int way;

	row = keys_find(kind, key, &way);
	return row && row->flags & KEY_REPEATED;
}

/* Turns the body's keys into "set [link NAME] KEY = VALUE" lines. Returns false after refusing the call. */
static bool add_keys(struct call *call, const struct section_kind *kind, const char *name, struct text *line)
{
	struct text title = {0};
	const char *key;
	json_t *value, *element;
	bool is_valid = true;
	size_t i;

	text_add(&title, "%s %s", kind->name, name);
	text_add(line, "set");
	json_object_foreach(call->body, key, value)
	{
		if (!is_valid || (name != call->name && strcmp(key, "name") == 0)) /* "name" is no ini key */
			continue;
		if (!json_is_array(value) || !key_is_repeated(kind, key)) {
			is_valid = add_key(call, title.at, key, "=", value, line);
			continue;
		}
		json_array_foreach(value, i, element)
		    is_valid = is_valid && add_key(call, title.at, key, i ? "+=" : "=", element, line);
	}
	text_free(&title);
	if (is_valid && line->size == 3) {
		call_refuse(call, 400, "the body names no key");
		return false;
	}
	return is_valid;
}

static void post_section(struct call *call, const struct section_kind *kind, bool exists)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));
	struct text line = {0};

	if (!ini_name_is_valid(name) || !*name)
		call_refuse(call, 400, "`name` must consist of letters, digits, `.`, `_` and `-`");
	else if (exists)
		call_refuse(call, 409, "there is a [%s %s] already; PATCH /api/v1/%ss/%s changes it",
		    kind->name, name, kind->name, name);
	else if (add_keys(call, kind, name, &line))
		answer_change(call, line.at);
	text_free(&line);
}

void route_post_link(struct call *call)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));

	post_section(call, &config_link_kind, config_link(call->running->setup->config, name) != NULL);
}

void route_post_rule(struct call *call)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));

	post_section(call, &config_rule_kind, config_rule(call->running->setup->config, name) != NULL);
}

void route_patch_rule(struct call *call)
{
	const json_t *enabled = json_object_get(call->body, "enabled");
	struct text line = {0};

	if (!check_rule_exists(call, call->name))
		return;
	if (enabled && (json_object_size(call->body) > 1 || !json_is_boolean(enabled))) {
		call_refuse(call, 400, "`enabled` must be true or false, and the only key");
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

void route_patch_link(struct call *call)
{
	const struct config *config = call->running->setup->config;
	const struct link *link = config_link(config, call->name);
	struct text line = {0};

	if (!link || link == &config->links[0]) /* the clean link has no section */
		call_refuse(call, 404, "there is no [link %s]", call->name);
	else if (add_keys(call, &config_link_kind, call->name, &line))
		answer_change(call, line.at);
	text_free(&line);
}

void route_get_wait(struct call *call)
{
	const char *rule = evhttp_find_header(call->query, "rule"),
	           *count_text = evhttp_find_header(call->query, "count"),
	           *timeout_text = evhttp_find_header(call->query, "timeout");
	uint64_t count = 1;
	ns_t timeout = WAIT_DEFAULT;
	struct error error;

	if (!check_rule_exists(call, rule))
		return;
	if (count_text && units_integer(count_text, &count, &error))
		call_refuse(call, 400, "count: %s", error.text);
	else if (timeout_text && units_time(timeout_text, &timeout, &error))
		call_refuse(call, 400, "timeout: %s", error.text);
	else if (timeout > WAIT_MAX)
		call_refuse(call, 400, "timeout: `%s` is out of range; 1h is the most", timeout_text);
	else
		pending_wait(call, rule, count, timeout);
}

void route_post_mark(struct call *call)
{
	const char *text = json_string_value(json_object_get(call->body, "text"));
	struct text event = {0};

	if (!check_one_line(call, "text", text))
		return;
	if (strlen(text) > MARK_MAX) {
		call_refuse(call, 400, "`text` is longer than %d bytes", MARK_MAX);
		return;
	}
	text_add(&event, "mark %s", text);
	running_event(call->running, event.at);
	call->made = true;
	call_answer(call, 200, json_pack("{s:b}", "done", 1));
	text_free(&event);
}

void route_post_reload(struct call *call)
{
	struct text messages = {0};
	size_t errors = running_reload(call->running, &messages);

	call->made = !errors;
	control_reload(call->control);
	if (errors)
		call_refuse(call, 400, "%s", messages.at ? messages.at : "the files could not be read");
	else
		call_answer(call, 200,
		    json_pack("{s:b, s:i}", "done", 1, "generation", (int)call->running->generation));
	text_free(&messages);
}

void route_post_rotate(struct call *call)
{
	const char *why;

	call->made = running_rotate(call->running, &why);
	if (call->made)
		call_answer(call, 200, json_pack("{s:b}", "done", 1));
	else
		call_refuse(call, 409, "%s", why);
}

void route_post_stop(struct call *call)
{
	call_answer(call, 202, json_pack("{s:b}", "done", 1));
	control_stop(call->control);
}
