/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Orders and replies are structs, sent over a socket pair (proxy/gateway/helper.h) and numbered, so that a
 * reply that comes too late is not taken for that of a later order. Blackouts of whole devices come from
 * worker threads: they leave them in `dark`, and wake the main thread, which sends them.
 */
#include "proxy/gateway/gateway.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/gateway/inspection.h"
#include "proxy/sandbox/privilege.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"

#define UP_PATIENCE (10 * NS_S) /* a large rule set takes long to read */
#define REPLY_PATIENCE (2 * NS_S)
#define END_PATIENCE (5 * NS_S)

struct gateway {
	int socket, dark_fd;
	pid_t helper;
	struct gateway_order order;
	struct gateway_reply reply;
	struct run_summary_gateway counts[GATEWAY_INTERFACES_MAX];
	size_t count;
	bool is_passing;
	uint32_t number; /* of the latest order */
	enum gateway_source source;
	uint64_t mark_given;
	pthread_mutex_t lock; /* of the next two */
	struct darkness *dark;
	size_t dark_count;
};

static bool is_fit(const struct setup *setup)
{
	struct inspection inspection = {0};
	size_t wrong;

	inspect_gateway(&inspection, setup);
	for (size_t i = 0; i < inspection.count; i++) {
		if (inspection.all[i].state == INSPECTED_WRONG)
			log_error("gateway: %s", inspection.all[i].text);
		else if (inspection.all[i].state == INSPECTED_NOTE)
			log_notice("note: gateway: %s", inspection.all[i].text);
	}
	wrong = inspection_wrong(&inspection);
	inspection_free(&inspection);
	return wrong == 0;
}

struct gateway *gateway_new(const struct setup *setup)
{
	static const struct timeval patience = {.tv_sec = 1};
	struct gateway *gateway;
	int sockets[2];

	if (!is_fit(setup))
		return NULL;
	gateway = memory_new(1, sizeof(*gateway));
	pthread_mutex_init(&gateway->lock, NULL);
	gateway->socket = -1;
	gateway->source = setup->gateway.source;
	gateway->mark_given = setup->gateway.mark;
	gateway->dark_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (gateway->dark_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		log_error("gateway: no socket can be opened: %s", strerror(errno));
		gateway_free(gateway);
		return NULL;
	}
	gateway->helper = fork();
	if (gateway->helper == 0) {
		close(sockets[0]);
		helper_main(sockets[1]);
	}
	close(sockets[1]);
	gateway->socket = sockets[0];
	setsockopt(gateway->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (gateway->helper > 0)
		return gateway;
	log_error("gateway: the helper process cannot be started: %s", strerror(errno));
	gateway_free(gateway);
	return NULL;
}

/* Sends the order and waits for the reply. Returns 0, or -1 and sets *error. */
static int ask(struct gateway *gateway, struct error *error)
{
	ns_t until = clock_now() + (gateway->order.kind == ORDER_UP ? UP_PATIENCE : REPLY_PATIENCE);
	ssize_t size;

	gateway->order.number = ++gateway->number;
	if (send(gateway->socket, &gateway->order, sizeof(gateway->order), MSG_NOSIGNAL) < 0)
		return error_set(error, "gateway: the helper process has ended");
	do { /* an earlier reply may have come too late */
		struct pollfd fd = {.fd = gateway->socket, .events = POLLIN};
		ns_t left = until - clock_now();

		if (left <= 0 || (poll(&fd, 1, (int)(left / NS_MS) + 1) == 0))
			return error_set(error, "gateway: the helper process does not answer");
		if (!fd.revents)
			continue; /* interrupted */
		size = recv(gateway->socket, &gateway->reply, sizeof(gateway->reply), 0);
		if (size != (ssize_t)sizeof(gateway->reply))
			return error_set(error, "gateway: the helper process has ended (out of memory?)");
	} while (gateway->reply.number != gateway->order.number);
	if (gateway->reply.failed)
		return error_set(error, "gateway: %s", gateway->reply.error.text);
	return 0;
}

int gateway_up(struct gateway *gateway, const struct setup *setup, const struct address *listeners,
    size_t count, struct error *error)
{
	struct table *table = &gateway->order.up.table;
	char *rest = gateway->reply.notes;

	gateway->order = (struct gateway_order){.kind = ORDER_UP};
	table_fill(table, &setup->gateway);
	gateway->order.up.idle_timeout = setup->proxy.idle_timeout;
	table_listen(table, listeners, count);
	if (ask(gateway, error))
		return -1;
	if (privilege_keep(~(UINT64_C(1) << CAP_NET_ADMIN)))
		return error_set(error, "gateway: CAP_NET_ADMIN cannot be given up: %s", strerror(errno));
	for (char *line = strtok_r(gateway->reply.notes, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		log_notice("note: gateway: %s", line);
	return 0;
}

/* A reload does not fail if an interface is missing: it may come back. */
static void warn_of_interfaces(const struct setup *setup)
{
	struct inspection inspection = {0};

	inspect_interfaces(&inspection, setup);
	for (size_t i = 0; i < inspection.count; i++)
		if (inspection.all[i].state != INSPECTED_GOOD)
			log_notice("note: gateway: %s", inspection.all[i].text);
	inspection_free(&inspection);
}

int gateway_change(struct gateway *gateway, const struct setup *setup, struct error *error)
{
	if (!setup->gateway.given)
		log_info("reload: [gateway] stays until the next start");
	if (!setup->gateway.given)
		return 0;
	warn_of_interfaces(setup);
	if (setup->gateway.source != gateway->source)
		log_info("reload: [gateway] `source` keeps its value until the next start");
	if (setup->gateway.mark != gateway->mark_given)
		log_info("reload: [gateway] `mark` keeps its value until the next start");
	gateway->order = (struct gateway_order){.kind = ORDER_CHANGE};
	table_fill(&gateway->order.up.table, &setup->gateway);
	gateway->order.up.table.by_device = gateway->source == GATEWAY_SOURCE_DEVICE;
	return ask(gateway, error);
}

void gateway_print(const struct setup *setup)
{
	struct table *table = memory_new(1, sizeof(*table));
	struct text out = {0};

	table_fill(table, &setup->gateway);
	table_listen(table, setup->proxy.listen.all, setup->proxy.listen.count);
	table->mark = table->mark ? table->mark : GATEWAY_MARK_FIRST;
	for (int i = 0; i < 2; i++)
		if (table->listen[i].family)
			printf("ip -%d route add local default dev lo table %u\n"
			       "ip -%d rule add priority 100 fwmark 0x%x/0x%x lookup %u\n",
			    i ? 6 : 4, table->mark, i ? 6 : 4, table->mark, table->mark, table->mark);
	table_create(table, false, &out);
	table_change(table, table, &out);
	printf("nft -f - <<'END'\n%sEND\n", out.at);
	text_free(&out);
	free(table);
}

static void take_counts(struct gateway *gateway, enum order_kind kind)
{
	struct error error;

	gateway->order = (struct gateway_order){.kind = kind};
	if (ask(gateway, &error))
		return;
	/* An interface that a reload has removed keeps its last counts. */
	for (uint32_t i = 0; i < gateway->reply.count; i++) {
		size_t at = 0;

		while (at < gateway->count &&
		       strcmp(gateway->counts[at].interface, gateway->reply.counts[i].interface) != 0)
			at++;
		if (at == RUN_SUMMARY_GATEWAYS_MAX)
			continue;
		gateway->counts[at] = gateway->reply.counts[i];
		gateway->count += at == gateway->count;
	}
}

size_t gateway_count(struct gateway *gateway, const struct run_summary_gateway **counts)
{
	if (!gateway->is_passing)
		take_counts(gateway, ORDER_COUNT);
	*counts = gateway->counts;
	return gateway->count;
}

bool gateway_is_by_device(const struct gateway *gateway)
{
	return gateway->source == GATEWAY_SOURCE_DEVICE;
}

void gateway_pass(struct gateway *gateway)
{
	kill(gateway->helper, SIGCONT);
	take_counts(gateway, ORDER_PASS);
	gateway->is_passing = true;
}

bool gateway_has_ended(struct gateway *gateway)
{
	return recv(gateway->socket, &gateway->reply, sizeof(gateway->reply), MSG_DONTWAIT) == 0;
}

/* ---- Dark devices ---- */

/* Called by workers, which must not fail: without memory the device is not made dark, and only deadzone's own
 * datagrams are dropped. */
void gateway_dark(struct gateway *gateway, const struct darkness *darkness)
{
	struct darkness *more = NULL;

	pthread_mutex_lock(&gateway->lock);
	if (!(gateway->dark_count & (gateway->dark_count - 1)))
		more = realloc(
		    gateway->dark, (gateway->dark_count ? 2 * gateway->dark_count : 1) * sizeof(*more));
	if (more)
		gateway->dark = more;
	if (more || (gateway->dark_count & (gateway->dark_count - 1)))
		gateway->dark[gateway->dark_count++] = *darkness;
	pthread_mutex_unlock(&gateway->lock);
	eventfd_write(gateway->dark_fd, 1);
}

int gateway_dark_fd(const struct gateway *gateway)
{
	return gateway->dark_fd;
}

void gateway_dark_send(struct gateway *gateway)
{
	struct darkness *dark;
	size_t count;
	eventfd_t value;

	eventfd_read(gateway->dark_fd, &value);
	pthread_mutex_lock(&gateway->lock);
	dark = gateway->dark;
	count = gateway->dark_count;
	gateway->dark = NULL;
	gateway->dark_count = 0;
	pthread_mutex_unlock(&gateway->lock);
	for (size_t at = 0; at < count; at += ORDER_DARK_MAX) {
		size_t part = count - at < ORDER_DARK_MAX ? count - at : ORDER_DARK_MAX;

		gateway->order = (struct gateway_order){.kind = ORDER_DARK};
		gateway->order.dark.count = (uint32_t)part;
		memcpy(gateway->order.dark.all, dark + at, part * sizeof(*dark));
		if (send(gateway->socket, &gateway->order, sizeof(gateway->order), MSG_NOSIGNAL) >= 0)
			continue;
		if (errno == EAGAIN)
			log_error("gateway: the helper process takes no orders: %zu changes of dark devices "
			          "are lost",
			    count - at);
		break; /* if it has ended, so does the run */
	}
	free(dark);
}

/* ---- End ---- */

pid_t gateway_helper(const struct gateway *gateway)
{
	return gateway->helper;
}

int gateway_fd(const struct gateway *gateway)
{
	return gateway->socket;
}

/* Returns false if it had to be killed. */
static bool await_helper(const struct gateway *gateway)
{
	ns_t until = clock_now() + END_PATIENCE;

	while (waitpid(gateway->helper, NULL, WNOHANG) == 0) {
		if (clock_now() > until) {
			kill(gateway->helper, SIGKILL);
			waitpid(gateway->helper, NULL, 0);
			return false;
		}
		poll(NULL, 0, 1);
	}
	return true;
}

int gateway_free(struct gateway *gateway)
{
	bool is_done = true;

	if (!gateway)
		return 0;
	if (gateway->socket >= 0)
		close(gateway->socket);
	if (gateway->helper > 0) {
		kill(gateway->helper, SIGCONT); /* whoever has stopped it */
		is_done = await_helper(gateway);
	}
	if (!is_done)
		log_error("gateway: the helper process did not end, and was killed: a policy rule and routes "
		          "of its mark may be left; "
		          "they do nothing without the table, and the next start removes them");
	if (gateway->dark_fd >= 0)
		close(gateway->dark_fd);
	pthread_mutex_destroy(&gateway->lock);
	free(gateway->dark);
	free(gateway);
	return is_done ? 0 : -1;
}
