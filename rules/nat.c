/* SPDX-License-Identifier: BSD-2-Clause */
#include "rules/nat.h"

static ns_t timeout_of(const struct nat *nat, const struct device *device)
{
	if (!device)
		return 0;
	return nat->stream && device->nat_timeout_stream ? device->nat_timeout_stream : device->nat_timeout;
}

ns_t nat_expiry(const struct nat *nat, const struct device *device)
{
	ns_t timeout = timeout_of(nat, device);

	ns_t expiry = timeout && nat->mapping && !nat->lost ? ns_add(nat->refreshed, timeout) : NS_NEVER;

	/* If a stream's shorter timeout is already over when the mapping becomes a stream, it ends then, not
	 * earlier. */
	return expiry < nat->streamed ? nat->streamed : expiry;
}

bool nat_lives(const struct nat *nat, const struct device *device, uint32_t mapping, ns_t now)
{
	if (!nat->mapping)
		return !timeout_of(nat, device);
	if (mapping && mapping < nat->mapping)
		return false;
	return !nat->lost && now < nat_expiry(nat, device);
}

bool nat_out(struct nat *nat, const struct device *device, ns_t now)
{
	bool is_replacement = nat->mapping && !nat_lives(nat, device, nat->mapping, now);

	if (!nat->mapping || is_replacement) {
		nat->mapping++;
		nat->lost = nat->stream = false;
		nat->refreshed = nat->streamed = now;
	} else if (now > nat->refreshed) {
		nat->refreshed = now;
	}
	return is_replacement;
}

void nat_in(struct nat *nat, const struct device *device, ns_t now)
{
	if (!nat->stream) {
		nat->stream = true;
		nat->streamed = now;
	}
	if (device && device->nat_refresh == NAT_REFRESH_BOTH && now > nat->refreshed)
		nat->refreshed = now;
}

void nat_rebind(struct nat *nat, enum rebind_what what)
{
	nat->lost = true;
	if (what == REBIND_ADDRESS)
		nat->addresses++;
}
