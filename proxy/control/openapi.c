/* SPDX-License-Identifier: BSD-2-Clause */
/* openapi: generates the OpenAPI description of the API from the table of routes. */
#include <string.h>

#include "proxy/control/routes.h"

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
