/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay/stamps.h"

void stamps_round(struct stamps *stamps, ns_t before, ns_t wall, ns_t now)
{
	ns_t offset = now - wall, moved = offset - stamps->offset;
	ns_t slewed = STAMPS_STEP + (now - stamps->read_at) / STAMPS_SLEWING;

	if (stamps->has_stepped && now - stamps->stepped_at > STAMPS_STEP_MEMORY)
		stamps->has_stepped = false;
	if (stamps->read_at && now - before > STAMPS_READING)
		return;
	if (stamps->read_at && (moved > slewed || moved < -slewed)) {
		stamps->offset_before = stamps->offset;
		stamps->stepped_at = now;
		stamps->has_stepped = true;
	}
	stamps->offset = offset;
	stamps->read_at = now;
}

static bool is_plausible(ns_t at, ns_t now)
{
	return at <= now && now - at <= STAMPS_OLDEST;
}

/* With the wrong offset, a stamp lies in the future or is older than with the right one. */
ns_t stamps_time_checked(const struct stamps *stamps, ns_t stamp, ns_t now)
{
	ns_t after = stamp + stamps->offset, before = stamp + stamps->offset_before;
	bool try_before = stamps->has_stepped && is_plausible(before, now);

	if (is_plausible(after, now) && (!try_before || after >= before))
		return after;
	return try_before ? before : now;
}
