/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/control/dispatch.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/memory.h"
#include "base/spare.h"
#include "proxy/control/routes.h"

#define BODY_MAX 65536 /* bytes */

/* Returns whether `path` matches a pattern such as "/api/v1/rules/{name}/fire". Sets *name to what stands for
 * {name}, not yet decoded, which the caller frees; or to NULL. */
static bool path_matches(const char *pattern, const char *path, char **name)
{
	const char *brace = strchr(pattern, '{');
	size_t prefix_size = brace ? (size_t)(brace - pattern) : 0, size;
	const char *suffix;

	*name = NULL;
	if (!brace)
		return strcmp(pattern, path) == 0;
	suffix = strchr(brace, '}') + 1;
	if (strncmp(pattern, path, prefix_size) != 0)
		return false;
	size = strcspn(path + prefix_size, "/");
	if (!size || strcmp(path + prefix_size + size, suffix) != 0)
		return false;
	*name = memory_text(path + prefix_size, size);
	return true;
}

static const char *method_name(struct evhttp_request *http)
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

/* Parses the body, if there is one, as a JSON object. Returns false after refusing the call. */
static bool read_body(struct call *call)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(call->http);
	size_t size = evbuffer_get_length(in);
	const char *type = evhttp_find_header(evhttp_request_get_input_headers(call->http), "Content-Type");
	const char *bytes;
	json_error_t error;

	if (!size)
		return true;
	if (size > BODY_MAX) {
		call_refuse(call, 413, "the body has %zu bytes; at most %d are allowed", size, BODY_MAX);
		return false;
	}
	if (!type || strncasecmp(type, "application/json", 16) != 0 ||
	    (type[16] && !strchr("; ", type[16]))) {
		call_refuse(call, 400, "the body must be application/json");
		return false;
	}
	bytes = (const char *)evbuffer_pullup(in, -1);
	if (!bytes)
		memory_out();
	call->body = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
	if (call->body && json_is_object(call->body))
		return true;
	if (call->body)
		call_refuse(call, 400, "the body must be a JSON object");
	else
		call_refuse(call, 400, "the body is not JSON: %s at byte %d", error.text, error.position);
	return false;
}

static const struct route_field *find_field(const struct route_field *fields, const char *name)
{
	for (size_t i = 0; i < ROUTE_FIELDS_MAX && fields[i].name; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static bool value_has_type(const json_t *value, const char *type)
{
	return (strcmp(type, "string") == 0 && json_is_string(value)) ||
	       (strcmp(type, "integer") == 0 && json_is_integer(value));
}

/* Checks keys and types against the table. Returns false after refusing the call. */
static bool check_fields(struct call *call, const struct route *route)
{
	struct evkeyval *pair;
	const char *key;
	json_t *value;

	json_object_foreach(call->body, key, value)
	{
		const struct route_field *field = find_field(route->body, key);

		if (!field && route->any_keys)
			continue;
		if (!field || !value_has_type(value, field->type)) {
			call_refuse(call, 400, field ? "`%s` must be of type %s" : "there is no key `%s`",
			    key, field ? field->type : "");
			return false;
		}
	}
	for (pair = call->query->tqh_first; pair; pair = pair->next.tqe_next)
		if (!find_field(route->query, pair->key)) {
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

static void serve_route(struct call *call, const struct route *route, char *raw_name)
{
	struct evkeyvalq query = {0};
	const char *query_text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(call->http));
	size_t size = 0;
	char *name = raw_name ? evhttp_uridecode(raw_name, 0, &size) : NULL;

	if (raw_name && !name)
		memory_out();
	call->name = name ? name : "";
	call->query = &query;
	TAILQ_INIT(&query);
	if ((name && strlen(name) != size) || evhttp_parse_query_str(query_text ? query_text : "", &query))
		call_refuse(call, 400, "the address is not well formed");
	else if (read_body(call) && check_fields(call, route))
		route->handle(call);
	evhttp_clear_headers(&query);
	json_decref(call->body);
	spare_free(name); /* libevent's */
}

void dispatch_call(struct call *call)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(call->http)),
	           *method = method_name(call->http);
	char allowed[64] = "";

	path = path && *path ? path : "/";
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &route_table[i];
		char *name;

		if (!path_matches(route->path, path, &name))
			continue;
		if (strcmp(route->method, method) == 0) {
			serve_route(call, route, name);
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
		call_refuse(call, 404, "there is no `%s`; `deadzone help api` lists all paths", path);
	}
}
