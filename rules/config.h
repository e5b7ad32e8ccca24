/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config: the parsed [device], [link] and [rule] sections. A config is built and checked by config_new and
 * immutable from then on.
 *
 * Everything in it lives in one arena. A running core holds one config; a reload builds another and swaps it
 * in.
 */
#ifndef RULES_CONFIG_H
#define RULES_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/dictionary.h"
#include "base/keys.h"
#include "base/ns.h"
#include "base/units.h"
#include "rules/action.h"
#include "rules/content.h"
#include "rules/dist.h"

enum order { ORDER_KEEP, ORDER_FREE };
enum loss_at { LOSS_ENTRY, LOSS_EXIT };
enum amount_kind { AMOUNT_PACKETS, AMOUNT_BYTES, AMOUNT_TIME };

struct amount {
	enum amount_kind kind;
	uint64_t value; /* datagrams, bytes of payload, or nanoseconds */
};

/* The four probabilities of a two-state (Gilbert-Elliott) chain; `given` if the ini file sets them. */
struct gilbert {
	bool given;
	double to_bad, to_good, loss_bad, loss_good;
};

/* Delivery opportunities of TRACE_OPPORTUNITY bytes each (mahimahi's format). */
struct trace {
	const uint32_t *at_ms; /* in ascending order, with repetitions */
	size_t count;
	uint32_t period_ms; /* the last stamp, where the trace repeats */
};

#define TRACE_OPPORTUNITY 1504

struct wake_delay {
	struct time_range time;
	bool next_up;
};

#define OVERHEAD_IP UINT64_MAX /* `overhead = ip` */

/* One direction of a link. Times are in ns, shares are 0 to 1, the rate is in bits per second. */
struct link_way {
	ns_t latency, jitter;
	double correlation;
	struct dist dist;
	enum order order;
	double loss, loss_run;
	struct gilbert gilbert; /* in force if `chained`; may be derived from loss and loss_run */
	bool chained;
	enum loss_at loss_at;
	double reorder, duplicate, corrupt;
	struct amount reorder_by;
	ns_t reorder_wait;
	uint64_t rate;
	ns_t packet_time;
	uint64_t overhead;
	struct amount queue;
	struct trace trace;
	uint64_t mtu;
	ns_t wake_after;
	struct wake_delay wake_delay;
	bool clean; /* forwards everything without delay or loss */
};

enum shared_by { SHARED_SESSION, SHARED_DEVICE, SHARED_ALL };

struct link {
	const char *name;
	enum shared_by shared; /* who shares the bottleneck, the radio's sleep and the loss chain */
	uint32_t id;           /* of "link:NAME" in `names` */
	uint64_t draw_key;     /* derived from its name */
	struct link_way ways[WAYS];
};

enum nat_refresh { NAT_REFRESH_UP, NAT_REFRESH_BOTH };

struct device {
	const char *name;
	uint32_t id; /* of "dev=NAME" in `names` */
	struct patterns address;
	struct addresses listener;
	struct patterns destination;          /* where the device sends to, if intercepted */
	unsigned link;                        /* index; 0 is the clean link */
	const char *upstream;                 /* NULL: use [proxy] upstream */
	const char *identity;                 /* NULL: use its address */
	ns_t nat_timeout, nat_timeout_stream; /* 0: no timeout; for streams: same as nat_timeout */
	enum nat_refresh nat_refresh;
	bool follow_cid;
};

#define RULE_EVERY_MIN NS_MS /* a shorter period would leave no time for datagrams */

/* SCOPE_FIRST is read only: such a rule has SCOPE_ALL and `first`. */
enum scope { SCOPE_SESSION, SCOPE_DEVICE, SCOPE_ALL, SCOPE_FIRST };
enum rule_way { RULE_BOTH, RULE_UP, RULE_DOWN, RULE_EITHER };

struct record_span {
	uint64_t epoch;
	struct span numbers;
};

struct records {
	struct record_span *all;
	size_t count;
};

struct indexes {
	unsigned *all;
	size_t count;
};

/* The conditions that a rule tests, so that those it does not have cost nothing. */
enum looks {
	LOOKS_UP = 1 << WAY_UP, /* upstream datagrams; a timed rule tests neither way */
	LOOKS_DOWN = 1 << WAY_DOWN,
	LOOKS_SINCE = 4,
	LOOKS_ATTEMPT = 8,
	LOOKS_AGE = 16, /* after, until */
	LOOKS_SIZE = 32,
	LOOKS_DTLS = 64,     /* dtls, dtls_not */
	LOOKS_RECORDS = 128, /* epoch, record */
	LOOKS_CARRIED = 256,
	LOOKS_SEQUENCE = 512, /* message_seq */
	LOOKS_BYTES = 1024,
	LOOKS_COAP = 2048,
	LOOKS_COAP_BLOCK = 4096,
};

/* Conditions that are cheap to test, and that a datagram must meet for the rule to match. They are tested
 * before the session's state of the rule is read. */
struct rule_gate {
	uint32_t kinds;               /* the datagram has one of these, unless they are 0 */
	uint64_t size_low, size_high; /* bytes, both inclusive */
	ns_t age;                     /* the session's, at least */
};

/* A condition that was not given has no spans, or the widest span. The fields that every datagram needs come
 * first. */
struct rule {
	struct rule_gate gate;
	unsigned looks; /* enum looks */
	bool disabled;  /* by the API: it matches nothing, and its timer runs without effect */
	bool timed;
	bool first; /* it matches in one handshake of one session only, the first that it meets */
	enum scope scope;
	enum rule_way way;
	unsigned index;
	unsigned station_index; /* among config->station_rules, with scope = device */
	uint64_t limit;         /* UNITS_NO_LIMIT: none */
	struct spans nth;
	double probability;
	uint64_t draw_key;

	struct kinds dtls, dtls_not;
	struct span epoch, attempt, message_seq, carried;
	struct byte_patterns bytes;
	struct coap_kinds coap;
	struct span coap_block;
	struct records records;
	struct spans sizes;
	ns_t after, until; /* `until` is 0 if there is no end */
	unsigned since;    /* index + 1 of that rule; 0: none */
	uint32_t id;       /* of "rule:NAME" in `names` */
	const char *name;
	struct indexes devices;
	struct spans sessions;
	struct time_range at, every;
	bool at_given, every_given;
	struct span expect;
	bool expect_given, expect_each;
	struct actions actions;
	struct indexes watchers; /* rules whose `since` names this one */
};

struct config {
	struct arena *arena;
	struct device *devices;
	size_t device_count;
	struct link *links; /* the first is the built-in clean link */
	size_t link_count;
	unsigned default_link; /* for sessions without a [device]: [link default], or the clean link */
	struct rule *rules;
	size_t rule_count;
	bool any_attempt, any_follow;
	unsigned recent;           /* the highest N of any `replay N` */
	struct sections *sections; /* index of devices by address */
	struct dictionary names; /* struct link, struct device and struct rule by name; the key space is their
	                            section_kind */
	struct indexes shared_rules;  /* rules without `device`, in file order */
	struct indexes wide_rules;    /* rules with scope = all */
	struct indexes station_rules; /* rules with scope = device */
	bool shares_by_device;        /* a link has shared = device */
	struct indexes *own_rules;    /* by device: the rules that name it, in file order */
	struct kinds *firsts;         /* record kinds whose first datagram `replay KIND` needs */
	size_t first_count;
};

extern const struct section_kind config_device_kind, config_link_kind, config_rule_kind;

/* Builds a config from an ini whose `like` keys have been resolved. Errors and notes are added to
 * `complaints`. Never returns NULL. */
struct config *config_new(const struct ini *ini, struct names *names, struct complaints *complaints);
void config_free(struct config *config);

/* Lookups by name; return NULL if there is none. A user's own link `clean` takes precedence over the built-in
 * one. */
const struct link *config_link(const struct config *config, const char *name);
const struct device *config_section(const struct config *config, const char *name);
const struct rule *config_rule(const struct config *config, const char *name);

/* Where a device's datagrams come in. The caller of a core numbers its entrances; a session belongs to one.
 */
struct entrance {
	struct address listener;    /* as configured */
	struct address destination; /* `upstream = original`: where the device sent them; else FAMILY_NONE */
};

/* Returns the [device] section of a device at an entrance, or NULL. */
const struct device *config_device(
    const struct config *config, const struct address *device, const struct entrance *entrance);

#endif
