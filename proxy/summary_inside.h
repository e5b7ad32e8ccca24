/* summary_inside: what gathering and printing the accounts (summary.c) and their JSON (summary_json.c) share.
 */
#ifndef PROXY_SUMMARY_INSIDE_H
#define PROXY_SUMMARY_INSIDE_H

#include <stdbool.h>

#include "proxy/relay.h"
#include "proxy/summary.h"

#define FAILURES_EACH 100

/* What is kept of one way of a session. */
struct way_facts {
	struct account account;
	bool delayed;
	ns_t p50, p99, greatest;
};

struct session_facts {
	uint32_t number;
	struct address device;
	char section[64], identity[64], link[64];
	struct way_facts ways[WAYS];
	uint32_t handshakes, rebinds;
	struct relay_ports ports;
	ns_t began, last;
	const char *ended;
	bool over;
};

struct summary {
	struct session_facts *ended; /* a ring */
	size_t ended_count, ended_next, ended_room;
	uint64_t ended_ever;
	struct account totals[WAYS];
	struct buckets *delays[WAYS];
};

/* One that the user asked for and that does not hold (`failed` in JSON). */
struct check_failure {
	char subject[64]; /* the rule's name, or which check */
	char want[64];
	char got[64];     /* as text, … */
	int64_t number;   /* … or where it is "", this number */
	uint32_t session; /* 0: none */
	bool is_rule;
};

/* Calls `visit` for every session, in the order of their numbers as far as they are kept. */
typedef void visit_session(void *user, const struct session_facts *facts);
void summary_visit(const struct summary *summary, struct core *core, visit_session *visit, void *user);
void summary_all_totals(const struct summary *summary, struct core *core, struct way_facts totals[WAYS]);
/* Fills in as many as there is room for; gives how many there are. */
size_t summary_failures(
    struct core *core, const struct summary_facts *facts, struct check_failure *failures, size_t room);

#endif
