/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proof_campaign: checks the promises of campaigns on simulated devices: `make campaign-proof`.
 *
 * The search: of 1000 devices of each kind, the interval holds the truth for at least 93 %, and a sharp edge
 * takes at most 20 runs in the median. The comparison: of 1000 pairs of equal campaigns, at most 5 % are
 * reported as worse. Prints the results, and exits with 1 if a promise is not kept.
 */
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/devices.h"
#include "test/unit/pairs.h"

#define DEVICES 1000
#define PAIRS 1000

int main(void)
{
	unsigned broken = 0, worse;

	for (size_t i = 0; i < sizeof(device_kinds) / sizeof(*device_kinds); i++) {
		struct device_runs runs = devices_search(&device_kinds[i], DEVICES, 7);
		bool kept = runs.held >= DEVICES * 93 / 100 && (i || runs.median_runs <= 20);

		printf("search, %-17s: %5.1f %% of intervals hold the truth, %2.0f runs in the median%s\n",
		    device_kinds[i].name, 100.0 * runs.held / DEVICES, runs.median_runs,
		    kept ? "" : "  NOT AS PROMISED");
		fflush(stdout);
		broken += !kept;
	}
	worse = pairs_worse(PAIRS, 11);
	printf("compare, equal campaigns : %5.1f %% are reported as worse%s\n", 100.0 * worse / PAIRS,
	    worse <= PAIRS * 5 / 100 ? "" : "  NOT AS PROMISED");
	broken += worse > PAIRS * 5 / 100;
	return broken > 0;
}
