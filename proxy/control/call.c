/* SPDX-License-Identifier: BSD-2-Clause */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/inside.h"
#include "proxy/run/log.h"
#include "report/dump.h"

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} rows[] = {{200, "OK"}, {202, "Accepted"}, {400, "Bad Request"}, {401, "Unauthorized"},
	    {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
	    {413, "Content Too Large"}, {503, "Service Unavailable"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "Error";
}

void call_header(struct call *call, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(call->http), name, value);
}

void call_send(struct call *call, int status, const char *type, const void *bytes, size_t size)
{
	struct evbuffer *out = evbuffer_new();

	if (!out || evbuffer_add(out, bytes, size)) {
		if (out)
			evbuffer_free(out);
		return call_out_of_memory(call);
	}
	call->answered = true;
	call_header(call, "Content-Type", type);
	call_header(call, "Cache-Control", "no-store");
	call_header(call, "X-Content-Type-Options", "nosniff");
	if (status == 503)
		call_header(call, "Retry-After", "1");
	if (status == 401)
		call_header(call, "WWW-Authenticate", "Bearer");
	clients_restart_timeout(&call->control->clients, call->http);
	evhttp_send_reply(call->http, status, reason_phrase(status), out);
	evbuffer_free(out);
}

void call_out_of_memory(struct call *call)
{
	int status = call->made ? 200 : 503;

	if (call->answered)
		return;
	call->answered = true;
	clients_restart_timeout(&call->control->clients, call->http);
	log_error(call->made ? "a request is answered without a body: out of memory"
	                     : "a request was refused: out of memory");
	if (!call->made)
		call_header(call, "Retry-After", "1");
	evhttp_send_reply(call->http, status, reason_phrase(status), NULL);
}

void call_answer(struct call *call, int status, json_t *json)
{
	struct text text = {0};

	dump_json(json, DUMP_COMPACT, &text);
	call_send(call, status, "application/json", text.at, text.size);
	text_free(&text);
	json_decref(json);
}

void call_refuse(struct call *call, int status, const char *format, ...)
{
	struct text text = {0};
	json_t *message;
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	message = json_string(text.at);
	text_free(&text);
	call_answer(call, status, json_pack("{s:o}", "error", message ? message : json_string("not UTF-8")));
}
