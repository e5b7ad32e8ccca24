/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests are built with libmnl and sent one at a time; `ask` waits for the kernel's answer and hands each
 * message to a callback. What an earlier run has left behind is recognized by the rule's priority, and by its
 * mark and table, which are the same number.
 */
#include "proxy/gateway/netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/run/gateway_keys.h"

#if GATEWAY_BUILT

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define RULE_PRIORITY 100 /* before those of VPNs, after the local table's */

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
	char buffer[32768]; /* of one message, or of one part of a dump */
};

struct netlink *netlink_open(struct error *error)
{
	struct netlink *netlink = memory_new(1, sizeof(*netlink));

	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (netlink->socket && mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) == 0)
		return netlink;
	error_set(error, "rtnetlink cannot be opened: %s", strerror(errno));
	netlink_close(netlink);
	return NULL;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	free(netlink);
}

static struct nlmsghdr *message_begin(struct netlink *netlink, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	message->nlmsg_seq = ++netlink->sequence;
	return message;
}

/* Sends the message and passes each answer to `take`. Returns 0, or -1 with errno set. */
static int ask(struct netlink *netlink, const struct nlmsghdr *message, mnl_cb_t take, void *user)
{
	unsigned port = mnl_socket_get_portid(netlink->socket);
	int status = MNL_CB_OK;

	if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0)
		return -1;
	while (status == MNL_CB_OK) {
		ssize_t size = mnl_socket_recvfrom(netlink->socket, netlink->buffer, sizeof(netlink->buffer));

		if (size < 0)
			return -1;
		status = mnl_cb_run(netlink->buffer, (size_t)size, netlink->sequence, port, take, user);
	}
	return status < 0 ? -1 : 0;
}

/* ---- Interfaces ---- */

struct link_found {
	struct netlink_interface *interface;
	uint32_t master;
	char name[IFNAMSIZ];
};

static int take_link_kind(const struct nlattr *attribute, void *user)
{
	struct link_found *found = user;

	if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
		found->interface->is_bridge = strcmp(mnl_attr_get_str(attribute), "bridge") == 0;
	return MNL_CB_OK;
}

static int take_link_attribute(const struct nlattr *attribute, void *user)
{
	struct link_found *found = user;

	if (mnl_attr_get_type(attribute) == IFLA_MASTER)
		found->master = mnl_attr_get_u32(attribute);
	else if (mnl_attr_get_type(attribute) == IFLA_IFNAME)
		snprintf(found->name, sizeof(found->name), "%s", mnl_attr_get_str(attribute));
	else if (mnl_attr_get_type(attribute) == IFLA_LINKINFO)
		mnl_attr_parse_nested(attribute, take_link_kind, found);
	return MNL_CB_OK;
}

static int take_link(const struct nlmsghdr *message, void *user)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct link_found *found = user;

	found->interface->exists = true;
	found->interface->is_up = info->ifi_flags & IFF_UP;
	mnl_attr_parse(message, sizeof(*info), take_link_attribute, found);
	return MNL_CB_STOP;
}

/* Asks for an interface by name, or by index if that is not 0. */
static int ask_link(struct netlink *netlink, const char *name, uint32_t index, struct link_found *found)
{
	struct nlmsghdr *message = message_begin(netlink, RTM_GETLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	*info = (struct ifinfomsg){.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
	if (!index)
		mnl_attr_put_strz(message, IFLA_IFNAME, name);
	return ask(netlink, message, take_link, found) && errno != ENODEV ? -1 : 0;
}

int netlink_interface(
    struct netlink *netlink, const char *name, struct netlink_interface *interface, struct error *error)
{
	struct netlink_interface other = {0};
	struct link_found found = {.interface = interface}, master = {.interface = &other};

	*interface = (struct netlink_interface){0};
	if (ask_link(netlink, name, 0, &found) ||
	    (found.master && ask_link(netlink, NULL, found.master, &master)))
		return error_set(error, "interface %s cannot be queried: %s", name, strerror(errno));
	if (found.master && other.is_bridge)
		memcpy(interface->bridge, master.name, sizeof(interface->bridge));
	return 0;
}

/* ---- Rules and routes ---- */

struct redirection {
	uint32_t mark;
	bool is_taken;
};

struct attributes {
	const struct nlattr *all[64];
};

static int take_attribute(const struct nlattr *attribute, void *user)
{
	struct attributes *attributes = user;
	uint16_t type = mnl_attr_get_type(attribute);

	if (type < sizeof(attributes->all) / sizeof(*attributes->all))
		attributes->all[type] = attribute;
	return MNL_CB_OK;
}

static uint32_t number_of(const struct attributes *attributes, int type, uint32_t otherwise)
{
	return attributes->all[type] ? mnl_attr_get_u32(attributes->all[type]) : otherwise;
}

/* Another program's rule that what has our mark would match, too. */
static int take_rule(const struct nlmsghdr *message, void *user)
{
	const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(message);
	struct redirection *redirection = user;
	struct attributes attributes = {0};
	uint32_t mark, mask;

	mnl_attr_parse(message, sizeof(*header), take_attribute, &attributes);
	mark = number_of(&attributes, FRA_FWMARK, 0);
	mask = number_of(&attributes, FRA_FWMASK, UINT32_MAX);
	if (mask == mark && number_of(&attributes, FRA_TABLE, header->table) == mark)
		return MNL_CB_OK; /* another deadzone's, or left behind by an earlier run: it leads the same
		                     way */
	if (mark && (redirection->mark & mask) == mark)
		redirection->is_taken = true;
	return MNL_CB_OK;
}

/* A route in our table other than the one that we add is another program's. */
static int take_route(const struct nlmsghdr *message, void *user)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct redirection *redirection = user;
	struct attributes attributes = {0};

	mnl_attr_parse(message, sizeof(*header), take_attribute, &attributes);
	if (number_of(&attributes, RTA_TABLE, header->rtm_table) == redirection->mark &&
	    (header->rtm_type != RTN_LOCAL || header->rtm_dst_len))
		redirection->is_taken = true;
	return MNL_CB_OK;
}

static int dump_rules(struct netlink *netlink, uint8_t family, mnl_cb_t take, void *user)
{
	struct nlmsghdr *message = message_begin(netlink, RTM_GETRULE, NLM_F_DUMP);
	struct fib_rule_hdr *rule = mnl_nlmsg_put_extra_header(message, sizeof(*rule));

	*rule = (struct fib_rule_hdr){.family = family};
	return ask(netlink, message, take, user);
}

int netlink_is_taken(struct netlink *netlink, uint32_t mark, struct error *error)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct redirection redirection = {.mark = mark};

	for (int i = 0; i < 2; i++) {
		struct nlmsghdr *message;
		struct rtmsg *route;

		if (dump_rules(netlink, families[i], take_rule, &redirection))
			return error_set(
			    error, "the kernel's policy rules cannot be read: %s", strerror(errno));
		message = message_begin(netlink, RTM_GETROUTE, NLM_F_DUMP);
		route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
		*route = (struct rtmsg){.rtm_family = families[i]};
		if (ask(netlink, message, take_route, &redirection))
			return error_set(error, "the kernel's routes cannot be read: %s", strerror(errno));
	}
	return redirection.is_taken;
}

struct leftovers {
	struct netlink_leftover *all;
	size_t count, cap;
};

static int take_leftover(const struct nlmsghdr *message, void *user)
{
	const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(message);
	struct leftovers *leftovers = user;
	struct attributes attributes = {0};
	uint32_t mark;

	mnl_attr_parse(message, sizeof(*header), take_attribute, &attributes);
	mark = number_of(&attributes, FRA_FWMARK, 0);
	if (mark && number_of(&attributes, FRA_FWMASK, 0) == mark &&
	    number_of(&attributes, FRA_TABLE, header->table) == mark &&
	    number_of(&attributes, FRA_PRIORITY, 0) == RULE_PRIORITY && leftovers->count < leftovers->cap)
		leftovers->all[leftovers->count++] = (struct netlink_leftover){
		    .family = header->family == AF_INET6 ? FAMILY_IPV6 : FAMILY_IPV4, .mark = mark};
	return MNL_CB_OK;
}

size_t netlink_leftovers(struct netlink *netlink, struct netlink_leftover *all, size_t cap)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct leftovers leftovers = {.all = all, .cap = cap};

	for (int i = 0; i < 2; i++)
		dump_rules(netlink, families[i], take_leftover, &leftovers);
	return leftovers.count;
}

static int change_rule(struct netlink *netlink, uint16_t type, uint16_t flags, uint8_t family, uint32_t mark)
{
	struct nlmsghdr *message = message_begin(netlink, type, (uint16_t)(NLM_F_ACK | flags));
	struct fib_rule_hdr *rule = mnl_nlmsg_put_extra_header(message, sizeof(*rule));

	*rule = (struct fib_rule_hdr){.family = family, .action = FR_ACT_TO_TBL};
	mnl_attr_put_u32(message, FRA_PRIORITY, RULE_PRIORITY); /* without one, it would not be known again */
	mnl_attr_put_u32(message, FRA_FWMARK, mark);
	mnl_attr_put_u32(message, FRA_FWMASK, mark);
	mnl_attr_put_u32(message, FRA_TABLE, mark);
	return ask(netlink, message, NULL, NULL);
}

static int change_route(struct netlink *netlink, uint16_t type, uint16_t flags, uint8_t family, uint32_t mark)
{
	struct nlmsghdr *message = message_begin(netlink, type, (uint16_t)(NLM_F_ACK | flags));
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));

	*route = (struct rtmsg){.rtm_family = family,
	    .rtm_protocol = RTPROT_STATIC,
	    .rtm_scope = RT_SCOPE_HOST,
	    .rtm_type = RTN_LOCAL};
	mnl_attr_put_u32(message, RTA_TABLE, mark);
	mnl_attr_put_u32(message, RTA_OIF, if_nametoindex("lo"));
	return ask(netlink, message, NULL, NULL);
}

static uint8_t kernel_family(enum family family)
{
	return family == FAMILY_IPV6 ? AF_INET6 : AF_INET;
}

int netlink_redirect(struct netlink *netlink, enum family family, uint32_t mark, struct error *error)
{
	uint8_t of = kernel_family(family);

	if (change_route(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, of, mark) && errno != EEXIST)
		return error_set(error, "no local route can be added to table %u: %s", mark, strerror(errno));
	if (change_rule(netlink, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, of, mark) && errno != EEXIST)
		return error_set(
		    error, "no policy rule can be added for mark 0x%x: %s", mark, strerror(errno));
	return 0;
}

void netlink_restore(struct netlink *netlink, enum family family, uint32_t mark)
{
	change_rule(netlink, RTM_DELRULE, 0, kernel_family(family), mark);
	change_route(netlink, RTM_DELROUTE, 0, kernel_family(family), mark);
}

#else

static int without(struct error *error)
{
	return error_set(error, "this program was built without libmnl");
}

struct netlink *netlink_open(struct error *error)
{
	without(error);
	return NULL;
}

void netlink_close(struct netlink *netlink)
{
	(void)netlink;
}

int netlink_interface(
    struct netlink *netlink, const char *name, struct netlink_interface *interface, struct error *error)
{
	(void)netlink;
	(void)name;
	(void)interface;
	return without(error);
}

int netlink_is_taken(struct netlink *netlink, uint32_t mark, struct error *error)
{
	(void)netlink;
	(void)mark;
	return without(error);
}

int netlink_redirect(struct netlink *netlink, enum family family, uint32_t mark, struct error *error)
{
	(void)netlink;
	(void)family;
	(void)mark;
	return without(error);
}

size_t netlink_leftovers(struct netlink *netlink, struct netlink_leftover *all, size_t cap)
{
	(void)netlink;
	(void)all;
	(void)cap;
	return 0;
}

void netlink_restore(struct netlink *netlink, enum family family, uint32_t mark)
{
	(void)netlink;
	(void)family;
	(void)mark;
}

#endif
