/* SPDX-License-Identifier: BSD-2-Clause */
/* run_summary_json: the run summary as JSON, schema 1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fresh.h"
#include "base/memory.h"
#include "report/run_summary.h"

static json_t *json_ms(ns_t time)
{
	return json_real(round((double)time / 1e3) / 1e3);
}

static json_t *json_seconds(ns_t time)
{
	return json_real(round((double)time / 1e6) / 1e3);
}

static json_t *json_count(uint64_t number)
{
	return json_integer((json_int_t)number);
}

static json_t *json_word(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *json_stamp(ns_t wall)
{
	time_t seconds = (time_t)(wall / NS_S);
	char text[32];
	struct tm utc;

	if (!wall)
		return json_null();
	gmtime_r(&seconds, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

static json_t *json_way(const struct run_summary_way *from)
{
	const struct account *a = &from->account;
	json_t *way = json_object(), *dropped = json_object(), *delay = json_null();

	for (int i = 0; i < REASON_COUNT; i++)
		if (a->dropped[i])
			json_object_set_new(dropped, verdict_reasons[i], json_count(a->dropped[i]));
	if (from->delayed) {
		delay = json_object();
		json_object_set_new(delay, "p50", json_ms(from->p50));
		json_object_set_new(delay, "p99", json_ms(from->p99));
		json_object_set_new(delay, "max", json_ms(from->greatest));
	}
	json_object_set_new(way, "received", json_count(a->received));
	json_object_set_new(way, "bytes", json_count(a->bytes));
	json_object_set_new(way, "copies", json_count(a->copies));
	json_object_set_new(way, "sent", json_count(a->sent));
	json_object_set_new(way, "queued", json_count(a->queued));
	json_object_set_new(way, "dropped", dropped);
	json_object_set_new(way, "corrupted", json_count(a->corrupted));
	json_object_set_new(way, "reordered", json_count(a->reordered));
	json_object_set_new(way, "delay_ms", delay);
	return way;
}

json_t *run_summary_json_session(const struct run_summary_session *session)
{
	json_t *object = json_object();
	char device[ADDRESS_TEXT_SIZE], cloud[ADDRESS_TEXT_SIZE];

	json_object_set_new(object, "s", json_integer(session->number));
	json_object_set_new(object, "device",
	    session->device.family ? json_string(address_text(&session->device, device, sizeof(device)))
	                           : json_null());
	json_object_set_new(object, "cloud",
	    session->cloud.family ? json_string(address_text(&session->cloud, cloud, sizeof(cloud)))
	                          : json_null());
	json_object_set_new(object, "section", json_word(session->section));
	json_object_set_new(object, "identity", json_word(session->identity));
	json_object_set_new(object, "link", json_word(session->link));
	for (int way = 0; way < WAYS; way++)
		json_object_set_new(object, verdict_ways[way], json_way(&session->ways[way]));
	json_object_set_new(object, "handshakes", json_integer(session->handshakes));
	json_object_set_new(object, "rebinds", json_integer(session->rebinds));
	json_object_set_new(object, "port", session->port ? json_integer(session->port) : json_null());
	json_object_set_new(object, "old_ports", json_integer(session->old_ports));
	json_object_set_new(object, "began", json_seconds(session->began));
	json_object_set_new(object, "seconds", json_seconds(session->seconds));
	json_object_set_new(object, "ended", json_word(session->ended));
	return object;
}

static json_t *json_failures(const struct run_summary *result)
{
	json_t *list = json_array();

	for (size_t i = 0; i < result->failure_count; i++) {
		const struct run_summary_failure *failure = &result->failures[i];
		json_t *object = json_object();

		json_object_set_new(
		    object, failure->is_rule ? "rule" : "check", json_string(failure->subject));
		json_object_set_new(object, "want", json_string(failure->want));
		json_object_set_new(object, "got",
		    failure->got[0] ? json_string(failure->got) : json_integer(failure->number));
		if (failure->session)
			json_object_set_new(object, "session", json_integer(failure->session));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *json_rules(const struct run_summary *result)
{
	json_t *object = json_object();

	for (size_t i = 0; i < result->rule_count; i++) {
		json_t *counts = json_object();

		json_object_set_new(counts, "matched", json_count(result->rules[i].matched));
		json_object_set_new(counts, "fired", json_count(result->rules[i].fired));
		json_object_set_new(object, result->rules[i].name, counts);
	}
	return object;
}

static json_t *json_lateness(const struct run_summary *result)
{
	json_t *object = json_object();

	for (size_t i = 0; i < 4; i++)
		json_object_set_new(object, run_summary_late_words[i], json_integer(result->late[i] / NS_US));
	return object;
}

static json_t *json_changes(const struct run_summary *result)
{
	json_t *list = json_array();

	for (size_t i = 0; i < result->change_count; i++) {
		json_t *object = json_object();

		json_object_set_new(object, "at", json_seconds(result->changes[i].at));
		json_object_set_new(object, "change", json_word(result->changes[i].text));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *json_gateways(const struct run_summary *result)
{
	json_t *object = json_object();

	for (size_t i = 0; i < result->gateway_count; i++) {
		const struct run_summary_gateway *gateway = &result->gateways[i];
		json_t *counts = json_object();

		json_object_set_new(counts, "intercepted", json_count(gateway->intercepted));
		json_object_set_new(counts, "udp", json_count(gateway->udp));
		json_object_set_new(counts, "tcp", json_count(gateway->tcp));
		json_object_set_new(object, gateway->interface, counts);
	}
	return object;
}

static json_t *json_lines(const char *lines)
{
	json_t *list = json_array();

	for (size_t size; *lines; lines += size + (lines[size] == '\n')) {
		size = strcspn(lines, "\n");
		char *line = memory_text(lines, size);

		json_array_append_new(list, json_word(line));
		free(line);
	}
	return list;
}

json_t *run_summary_json(const struct run_summary *result)
{
	json_t *root = json_object(), *sessions = json_array(), *totals = json_object(),
	       *capture = json_object();

	for (size_t i = 0; i < result->session_count; i++)
		json_array_append_new(sessions, run_summary_json_session(&result->sessions[i]));
	json_object_set_new(totals, "sessions", json_count(result->sessions_ever));
	for (int way = 0; way < WAYS; way++)
		json_object_set_new(totals, verdict_ways[way], json_way(&result->totals[way]));
	json_object_set_new(capture, "written", json_count(result->capture_written));
	json_object_set_new(capture, "lost", result->closed ? json_count(result->capture_lost) : json_null());
	json_object_set_new(root, "schema", json_integer(1));
	json_object_set_new(root, "version", json_word(result->version));
	json_object_set_new(root, "seed", result->seed_known ? json_count(result->seed) : json_null());
	json_object_set_new(root, "started", json_stamp(result->started));
	json_object_set_new(root, "ended", json_stamp(result->ended));
	json_object_set_new(root, "exit", result->exit < 0 ? json_null() : json_integer(result->exit));
	json_object_set_new(root, "failed", json_failures(result));
	json_object_set_new(root, "sessions", sessions);
	if (result->sessions_left_out)
		json_object_set_new(root, "sessions_left_out", json_count(result->sessions_left_out));
	json_object_set_new(root, "totals", totals);
	json_object_set_new(root, "rules", result->closed ? json_rules(result) : json_null());
	json_object_set_new(root, "lateness_us", result->closed ? json_lateness(result) : json_null());
	json_object_set_new(root, "changes", json_changes(result));
	if (result->gateway_count)
		json_object_set_new(root, "gateway", json_gateways(result));
	json_object_set_new(root, "capture", capture);
	if (result->notes)
		json_object_set_new(root, "notes", json_lines(result->notes));
	json_object_set_new(
	    root, "kernel_drops", result->closed ? json_count(result->kernel_drops) : json_null());
	json_object_set_new(
	    root, "icmp_errors", result->closed ? json_count(result->icmp_errors) : json_null());
	return root;
}

void run_summary_json_begin(
    const struct run_summary *result, enum dump_form form, struct run_summary_json *whole)
{
	static const char key[] = "\"sessions\":";
	struct run_summary without_sessions = *result;
	json_t *json;

	without_sessions.session_count = 0;
	json = run_summary_json(&without_sessions);
	whole->text = (struct text){0};
	dump_json(json, form, &whole->text);
	json_decref(json);
	/* The first match is the key, as quotes within strings are escaped. Its value is an empty list. */
	whole->place = (size_t)(strchr(strstr(whole->text.at, key), '[') + 1 - whole->text.at);
}

int run_summary_write(json_t *json, const char *path, struct error *error)
{
	struct output_file file;
	struct text text = {0};
	int failed;

	dump_json(json, DUMP_INDENTED, &text); /* before the file is open: it may be abandoned */
	text_add_bytes(&text, "\n", 1);
	failed = output_file_open(&file, path, error);
	if (!failed) {
		fwrite(text.at, 1, text.size, file.out); /* output_file_close reports errors of the stream */
		failed = output_file_close(&file, path, error);
	}
	text_free(&text);
	json_decref(json);
	return failed;
}
