/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routes: the table of the HTTP API. dispatch, `help api`, openapi.json and the tests all read it.
 */
#ifndef PROXY_ROUTES_H
#define PROXY_ROUTES_H

#include "proxy/control/call.h"

/* A key of a body, or a parameter of a query. */
struct route_field {
	const char *name, *type, *what; /* `type` as in JSON Schema; `what` for help */
	bool required;
};

#define ROUTE_FIELDS_MAX 5

struct route {
	const char *method, *path; /* {…} in the path matches one name */
	void (*handle)(struct call *call);
	const char *what;
	struct route_field body[ROUTE_FIELDS_MAX], query[ROUTE_FIELDS_MAX];
	bool any_keys;      /* the body may have any ini key */
	const char *answer; /* media type */
};

extern const struct route route_table[];
extern const size_t route_count;

/* Answers with the live page, which itself holds no data of the run. */
void routes_page(struct call *call, int status);

/* Returns the OpenAPI 3 description of the table. */
json_t *routes_openapi(void);

/* metrics.c: appends all metrics to `out` in Prometheus' text format. */
void metrics_write(const struct running *running, struct text *out);

#endif
