/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routes: what can be asked of a run over HTTP: one table, which dispatch, `help api`, openapi.json and the
 * tests read.
 */
#ifndef PROXY_ROUTES_H
#define PROXY_ROUTES_H

#include "proxy/control/call.h"

/* A key of a body or query. */
struct route_field {
	const char *name, *type, *what; /* type as in JSON Schema */
	bool required;
};

#define ROUTE_FIELDS_MAX 5

struct route {
	const char *method, *path; /* {…} in the path stands for one name */
	void (*handle)(struct call *call);
	const char *what;
	struct route_field body[ROUTE_FIELDS_MAX], query[ROUTE_FIELDS_MAX];
	bool any_keys;      /* the body holds ini keys */
	const char *answer; /* media type */
};

extern const struct route route_table[];
extern const size_t route_count;

/* The live page, which holds no data of its own. */
void routes_page(struct call *call, int status);

/* The OpenAPI 3 description of the table. */
json_t *routes_openapi(void);

/* metrics.c: Prometheus' text format. */
void metrics_write(const struct running *running, struct text *out);

#endif
