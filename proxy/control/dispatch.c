/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/control/dispatch.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/memory.h"
#include "proxy/control/routes.h"

#define BODY_MAX 65536 /* bytes */

/* "/api/v1/rules/{name}/fire" and a path: true, and what stands for the name, decoded; for free. */
static bool path_matches(const char *pattern, const char *path, char **name)
{
	const char *brace = strchr(pattern, '{');
	size_t head = brace ? (size_t)(brace - pattern) : 0, size;
	const char *tail;

	*name = NULL;
	if (!brace)
		return strcmp(pattern, path) == 0;
	tail = strchr(brace, '}') + 1;
	if (strncmp(pattern, path, head) != 0)
		return false;
	size = strcspn(path + head, "/");
	if (!size || strcmp(path + head + size, tail) != 0)
		return false;
	*name = memory_text(path + head, size);
	return true;
}

static const char *method_word(struct evhttp_request *http)
{
	switch (evhttp_request_get_command(http)) {
	case EVHTTP_REQ_GET: return "GET";
	case EVHTTP_REQ_POST: return "POST";
	case EVHTTP_REQ_PATCH: return "PATCH";
	case EVHTTP_REQ_PUT: return "PUT";
	case EVHTTP_REQ_DELETE: return "DELETE";
	case EVHTTP_REQ_OPTIONS: return "OPTIONS";
	case EVHTTP_REQ_HEAD: return "HEAD";
	case EVHTTP_REQ_TRACE:
	case EVHTTP_REQ_CONNECT:
	default: return "another method";
	}
}

/* The body as JSON: an object, or none. false after it was refused. */
static bool read_body(struct call *call)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(call->http);
	size_t size = evbuffer_get_length(in);
	const char *type = evhttp_find_header(evhttp_request_get_input_headers(call->http), "Content-Type");
	json_error_t error;

	if (!size)
		return true;
	if (size > BODY_MAX) {
		call_refuse(call, 413, "the body has %zu bytes; %d are the most", size, BODY_MAX);
		return false;
	}
	if (!type || strncasecmp(type, "application/json", 16) != 0 ||
	    (type[16] && !strchr("; ", type[16]))) {
		call_refuse(call, 400, "the body must be application/json");
		return false;
	}
	call->body = json_loadb((const char *)evbuffer_pullup(in, -1), size, JSON_REJECT_DUPLICATES, &error);
	if (call->body && json_is_object(call->body))
		return true;
	if (call->body)
		call_refuse(call, 400, "the body must be a JSON object");
	else
		call_refuse(call, 400, "the body is no JSON: %s at byte %d", error.text, error.position);
	return false;
}

static const struct route_field *field_of(const struct route_field *fields, const char *name)
{
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && fields[i].name; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static bool is_of_type(const json_t *value, const char *type)
{
	return (strcmp(type, "string") == 0 && json_is_string(value)) ||
	       (strcmp(type, "integer") == 0 && json_is_integer(value));
}

/* Keys and types as the table has them. */
static bool check_fields(struct call *call, const struct route *route)
{
	struct evkeyval *pair;
	const char *key;
	json_t *value;

	json_object_foreach(call->body, key, value)
	{
		const struct route_field *field = field_of(route->body, key);

		if (!field && route->any_keys)
			continue;
		if (!field || !is_of_type(value, field->type)) {
			call_refuse(call, 400, field ? "`%s` must be of type %s" : "there is no key `%s`",
			    key, field ? field->type : "");
			return false;
		}
	}
	for (pair = call->query->tqh_first; pair; pair = pair->next.tqe_next)
		if (!field_of(route->query, pair->key)) {
			call_refuse(call, 400, "there is no parameter `%s`", pair->key);
			return false;
		}
	for (size_t i = 0; i < ROUTE_FIELDS_MAX; i++) {
		const struct route_field *body = &route->body[i], *query = &route->query[i];

		if (body->name && body->required && !json_object_get(call->body, body->name)) {
			call_refuse(call, 400, "the body lacks `%s`", body->name);
			return false;
		}
		if (query->name && query->required && !evhttp_find_header(call->query, query->name)) {
			call_refuse(call, 400, "the parameter `%s` is missing", query->name);
			return false;
		}
	}
	return true;
}

static void serve(struct call *call, const struct route *route, char *raw_name)
{
	struct evkeyvalq query = {0};
	const char *given = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(call->http));
	size_t size = 0;
	char *name = raw_name ? evhttp_uridecode(raw_name, 0, &size) : NULL;

	call->name = name ? name : "";
	call->query = &query;
	TAILQ_INIT(&query);
	if ((raw_name && !name) || (name && strlen(name) != size) ||
	    evhttp_parse_query_str(given ? given : "", &query))
		call_refuse(call, 400, "the address is not well formed");
	else if (read_body(call) && check_fields(call, route))
		route->handle(call);
	evhttp_clear_headers(&query);
	json_decref(call->body);
	free(name);
}

void dispatch_call(struct call *call)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(call->http)),
	           *method = method_word(call->http);
	char allowed[64] = "";

	path = path && *path ? path : "/";
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &route_table[i];
		char *name;

		if (!path_matches(route->path, path, &name))
			continue;
		if (strcmp(route->method, method) == 0) {
			serve(call, route, name);
			free(name);
			return;
		}
		free(name);
		snprintf(allowed + strlen(allowed), sizeof(allowed) - strlen(allowed), "%s%s",
		    *allowed ? ", " : "", route->method);
	}
	if (*allowed) {
		call_header(call, "Allow", allowed);
		call_refuse(call, 405, "`%s` takes %s, not %s", path, allowed, method);
	} else {
		call_refuse(call, 404, "there is no `%s`; `deadzone help api` lists what there is", path);
	}
}
