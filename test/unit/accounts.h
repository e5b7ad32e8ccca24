/* SPDX-License-Identifier: BSD-2-Clause */
/* accounts: the invariant of every session's counters (rules/core.h). */
#ifndef UNIT_ACCOUNTS_H
#define UNIT_ACCOUNTS_H

#include "rules/core.h"

static inline void check_accounts(const struct core *core)
{
	for (const struct session *s = core_oldest(core); s; s = s->newer)
		for (int way = 0; way < WAYS; way++) {
			const struct account a = way_account(&s->ways[way]);

			assert_int_equal(a.received + a.copies, a.sent + account_dropped(&a) + a.queued);
		}
}

#endif
