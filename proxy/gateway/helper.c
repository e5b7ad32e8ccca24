/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop waits for orders and for the next end of a darkness. ORDER_UP tries marks until one is free
 * (bring_up, try_mark). Dark devices are in a tree by address and direction; update_dark brings the table's
 * sets in line with it, in one transaction. Whatever fails is the reply; what must not happen (an order of
 * another form) ends the process.
 */
#include "proxy/gateway/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/gateway/netlink.h"
#include "proxy/gateway/nft.h"
#include "proxy/sandbox/privilege.h"
#include "proxy/gateway/ruleset.h"
#include "proxy/run/clock.h"

#define MARKS_TRIED 100
#define LEFTOVERS_MAX 64
#define FILES_MAX 16 /* more than the helper opens */

/* One direction of a device that is, or shall be, among the dark ones. */
struct dark_device {
	struct address address;
	enum way way;
	ns_t until;
	bool is_listed; /* its element is in the table */
};

struct helper {
	int socket;
	struct nft *nft;
	struct netlink *netlink;
	struct table table;
	bool is_up;
	void *dark; /* a tree of struct dark_device (tsearch(3)) */
	ns_t next;  /* the earliest end of a darkness */
	struct gateway_order order;
	struct gateway_reply reply;
};

/* ---- Up and change ---- */

static int fail(struct helper *helper, const struct error *error)
{
	helper->reply.failed = true;
	helper->reply.error = *error;
	return -1;
}

static int run_commands(struct helper *helper, const struct text *commands, struct error *error)
{
	struct error why;

	if (nft_run(helper->nft, commands->at, NULL, &why))
		return nft_explain(&why, error);
	return 0;
}

static bool table_exists(struct helper *helper)
{
	char name[TABLE_NAME_SIZE];
	const char *listed;
	struct error error;

	return nft_run(helper->nft, "list tables", &listed, &error) == 0 &&
	       ruleset_has_table(listed, table_name(&helper->table, name));
}

static void take_rules_back(struct helper *helper)
{
	static const enum family families[] = {FAMILY_IPV4, FAMILY_IPV6};

	for (int i = 0; i < 2; i++)
		if (helper->table.listen[i].family)
			netlink_restore(helper->netlink, families[i], helper->table.mark);
}

static void remove_table(struct helper *helper)
{
	char name[TABLE_NAME_SIZE], command[64];
	struct error error;

	snprintf(command, sizeof(command), "delete table inet %s", table_name(&helper->table, name));
	nft_run(helper->nft, command, NULL, &error);
}

/* Removes policy rules and routes of runs whose helper was killed; without a table they match nothing. */
static void remove_leftovers(struct helper *helper)
{
	struct netlink_leftover found[LEFTOVERS_MAX];
	size_t count = netlink_leftovers(helper->netlink, found, LEFTOVERS_MAX);

	for (size_t i = 0; i < count; i++) {
		helper->table.mark = found[i].mark;
		if (!table_exists(helper))
			netlink_restore(helper->netlink, found[i].family, found[i].mark);
	}
}

/* Checks the whole table, claims its name with an empty one, adds rule and route, and only then fills it.
 * The table comes before rule and route, so that another run that starts now does not remove them. */
static int make_table(struct helper *helper, struct error *error)
{
	struct text claim = {0}, rules = {0}, all = {0};
	bool has_claimed;
	struct error why;
	int status;

	table_create(&helper->table, true, &claim);
	table_change(&helper->table, &helper->table, &rules);
	text_add(&all, "%s%s", claim.at, rules.at);
	status = nft_try(helper->nft, all.at, &why) ? nft_explain(&why, error)
	                                            : run_commands(helper, &claim, error);
	has_claimed = !status;
	for (int i = 0; i < 2 && !status; i++)
		if (helper->table.listen[i].family)
			status = netlink_redirect(
			    helper->netlink, i ? FAMILY_IPV6 : FAMILY_IPV4, helper->table.mark, error);
	if (!status)
		status = run_commands(helper, &rules, error);
	if (status && has_claimed) {
		take_rules_back(helper);
		remove_table(helper);
	}
	text_free(&claim);
	text_free(&rules);
	text_free(&all);
	return status;
}

/* Returns 0 if the table is made, 1 if another program has this mark, or -1 and sets *error. */
static int try_mark(struct helper *helper, struct error *error)
{
	int status;

	status = table_exists(helper) ? 1 : netlink_is_taken(helper->netlink, helper->table.mark, error);
	if (status)
		return status;
	if (make_table(helper, error) == 0)
		return 0;
	/* If two runs start at once, only one of them can claim the table; the other one tries the next mark.
	 */
	return table_exists(helper) ? 1 : -1;
}

static void note_others(struct helper *helper, ns_t idle_timeout)
{
	const char *listed;
	struct text notes = {0};
	struct error error;

	if (nft_run(helper->nft, "list ruleset", &listed, &error))
		text_add(&notes, "other programs' rules cannot be read: %s\n", error.text);
	else
		ruleset_notes(listed, &helper->table, idle_timeout, &notes);
	snprintf(helper->reply.notes, sizeof(helper->reply.notes), "%s", notes.at ? notes.at : "");
	text_free(&notes);
}

static int bring_up(struct helper *helper)
{
	bool is_given = helper->order.up.table.mark;
	struct error error;
	int status = 1;

	if (!helper->nft && !(helper->nft = nft_open(&error)))
		return fail(helper, &error);
	if (!helper->netlink && !(helper->netlink = netlink_open(&error)))
		return fail(helper, &error);
	for (int fd = 3; fd < FILES_MAX; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC); /* libnftables' own, too */
	remove_leftovers(helper);
	helper->table = helper->order.up.table;
	for (uint32_t i = 0; status == 1 && i < (is_given ? 1 : MARKS_TRIED); i++) {
		if (!is_given)
			helper->table.mark = GATEWAY_MARK_FIRST + i;
		status = try_mark(helper, &error);
	}
	if (status == 1 && is_given)
		error_set(&error,
		    "mark 0x%x is taken: by a table deadzone-%u (`nft list tables`), a policy rule (`ip "
		    "rule`) or a "
		    "routing table (`ip route show table %u`); without `mark`, a free one is taken",
		    helper->table.mark, helper->table.mark, helper->table.mark);
	else if (status == 1)
		error_set(&error, "no free firewall mark from 0x%x to 0x%x", GATEWAY_MARK_FIRST,
		    GATEWAY_MARK_FIRST + MARKS_TRIED - 1);
	if (status)
		return fail(helper, &error);
	helper->is_up = true;
	note_others(helper, helper->order.up.idle_timeout);
	return 0;
}

static void change(void *user)
{
	struct helper *helper = user;
	struct table after = helper->order.up.table;
	struct text commands = {0};
	struct error error;
	int status;

	after.mark = helper->table.mark;
	memcpy(after.listen, helper->table.listen, sizeof(after.listen));
	table_change(&helper->table, &after, &commands);
	status = run_commands(helper, &commands, &error);
	text_free(&commands);
	if (status)
		fail(helper, &error);
	else
		helper->table = after;
}

static int count(struct helper *helper)
{
	char name[TABLE_NAME_SIZE], command[64];
	const char *listed;
	struct error error;

	snprintf(command, sizeof(command), "list counters table inet %s", table_name(&helper->table, name));
	if (nft_run(helper->nft, command, &listed, &error))
		return fail(helper, &error);
	helper->reply.count = (uint32_t)ruleset_counts(listed, &helper->table, helper->reply.counts);
	return 0;
}

static void pass(struct helper *helper)
{
	char name[TABLE_NAME_SIZE], command[64];
	struct error error;

	snprintf(command, sizeof(command), "flush chain inet %s arrive", table_name(&helper->table, name));
	nft_run(helper->nft, command, NULL, &error);
}

/* ---- Dark devices ---- */

static int compare_dark(const void *a, const void *b)
{
	const struct dark_device *x = a, *y = b;
	int order = memcmp(&x->address, &y->address, sizeof(x->address));

	return order ? order : (int)x->way - (int)y->way;
}

/* Returns the device of this address and way, added if need be; NULL: out of memory. */
static struct dark_device *get_device(struct helper *helper, const struct dark_device *wanted)
{
	struct dark_device *const *found = tfind(wanted, &helper->dark, compare_dark);
	struct dark_device *device;

	if (found)
		return *found;
	device = malloc(sizeof(*device));
	if (!device)
		return NULL;
	*device = *wanted;
	if (tsearch(device, &helper->dark, compare_dark))
		return device;
	free(device);
	return NULL;
}

static void take_darkness(struct helper *helper, const struct darkness *darkness)
{
	for (int way = 0; way < WAYS; way++) {
		struct dark_device wanted = {
		    .address = darkness->address, .way = (enum way)way, .until = INT64_MIN};
		struct dark_device *device;

		wanted.address.port = 0;
		device = darkness->ways[way] ? get_device(helper, &wanted) : NULL;
		if (!device)
			continue;
		if (darkness->is_end || darkness->until > device->until)
			device->until = darkness->until;
	}
}

/* The devices that enter, or leave, the dark ones of one family and way. */
struct dark_change {
	ns_t now;
	enum family family;
	enum way way;
	bool enters;
	struct address *addresses;
	size_t count;
	struct dark_device **over; /* no longer dark: removed from the tree */
	size_t over_count;
	ns_t next;
};

static void visit_change(const void *node, VISIT visit, void *user)
{
	struct dark_change *change = user;
	struct dark_device *device = *(struct dark_device *const *)node;
	bool is_dark = device->until > change->now;

	if ((visit != postorder && visit != leaf) || device->way != change->way ||
	    device->address.family != change->family || is_dark != change->enters ||
	    is_dark == device->is_listed)
		return;
	change->addresses = memory_grow(change->addresses, change->count, sizeof(*change->addresses));
	change->addresses[change->count++] = device->address;
}

static void visit_listed(const void *node, VISIT visit, void *user)
{
	const struct dark_change *change = user;
	struct dark_device *device = *(struct dark_device *const *)node;

	if (visit == postorder || visit == leaf)
		device->is_listed = device->until > change->now;
}

static void visit_end(const void *node, VISIT visit, void *user)
{
	struct dark_change *change = user;
	struct dark_device *device = *(struct dark_device *const *)node;

	if (visit != postorder && visit != leaf)
		return;
	if (device->until > change->now) {
		change->next = device->until < change->next ? device->until : change->next;
		return;
	}
	change->over = memory_grow(change->over, change->over_count, sizeof(struct dark_device *));
	change->over[change->over_count++] = device;
}

/* Brings the table's sets of dark devices up to date, in one transaction. */
static void dark_task(void *user)
{
	struct helper *helper = user;
	struct text commands = {0};
	struct dark_change change = {.now = clock_now(), .next = NS_NEVER};
	struct error error;

	for (int i = 0; i < 8; i++) {
		change.family = i & 1 ? FAMILY_IPV6 : FAMILY_IPV4;
		change.way = i & 2 ? WAY_DOWN : WAY_UP;
		change.enters = i & 4;
		change.count = 0;
		twalk_r(helper->dark, visit_change, &change);
		if (change.count)
			table_dark(&helper->table, change.way, change.enters, change.addresses, change.count,
			    &commands);
		free(change.addresses);
		change.addresses = NULL;
	}
	twalk_r(helper->dark, visit_end, &change);
	if (commands.size)
		nft_run(helper->nft, commands.at, NULL, &error);
	twalk_r(helper->dark, visit_listed, &change);
	for (size_t i = 0; i < change.over_count; i++) {
		tdelete(change.over[i], &helper->dark, compare_dark);
		free(change.over[i]);
	}
	free(change.over);
	helper->next = change.next;
	text_free(&commands);
}

static void update_dark(struct helper *helper)
{
	if (!memory_try(dark_task, helper))
		helper->next = clock_now() + NS_S; /* out of memory: again then */
}

/* ---- The process ---- */

static void serve(struct helper *helper, size_t size)
{
	struct gateway_order *order = &helper->order;

	helper->reply = (struct gateway_reply){0};
	if (size != sizeof(*order))
		_exit(1);
	switch (order->kind) {
	case ORDER_UP:
	case ORDER_CHANGE:
		if (!table_is_valid(&order->up.table) || (order->kind == ORDER_CHANGE) != helper->is_up)
			_exit(1);
		if (order->kind == ORDER_UP)
			bring_up(helper);
		else if (!memory_try(change, helper))
			helper->reply.failed = error_set(&helper->reply.error, "out of memory") != 0;
		break;
	case ORDER_DARK:
		for (uint32_t i = 0; i < order->dark.count && i < ORDER_DARK_MAX; i++)
			take_darkness(helper, &order->dark.all[i]);
		if (helper->is_up)
			update_dark(helper);
		return;
	case ORDER_PASS:
		if (helper->is_up && !count(helper))
			pass(helper);
		break;
	case ORDER_COUNT:
		if (helper->is_up)
			count(helper);
		break;
	default: _exit(1);
	}
	helper->reply.number = order->number;
	send(helper->socket, &helper->reply, sizeof(helper->reply), MSG_NOSIGNAL);
}

static void become_helper(int *socket)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGQUIT};
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	prctl(PR_SET_NAME, "gateway");
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	dup2(*socket, 3);
	*socket = 3;
	syscall(SYS_close_range, 4, ~0U, 0);
	privilege_keep(UINT64_C(1) << CAP_NET_ADMIN);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void helper_main(int socket)
{
	struct helper *helper = memory_new(1, sizeof(*helper));

	become_helper(&socket);
	helper->socket = socket;
	helper->next = NS_NEVER;
	for (;;) {
		struct pollfd fd = {.fd = socket, .events = POLLIN};
		ns_t now = clock_now(), wait = helper->next - now;
		int timeout = helper->next == NS_NEVER ? -1 : wait <= 0 ? 0 : (int)(wait / NS_MS + 1);
		ssize_t size;

		if (poll(&fd, 1, timeout) < 0 && errno != EINTR)
			break;
		if (helper->next <= clock_now())
			update_dark(helper);
		if (!fd.revents)
			continue;
		size = recv(socket, &helper->order, sizeof(helper->order), 0);
		if (size == 0 || (size < 0 && errno != EINTR))
			break;
		if (size < 0)
			continue;
		serve(helper, (size_t)size);
	}
	/* The table first: what is on its way is then forwarded, not delivered to nobody. */
	nft_close(helper->nft);
	if (helper->is_up)
		take_rules_back(helper);
	_exit(0);
}
