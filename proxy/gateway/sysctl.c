/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/gateway/sysctl.h"

#include <stdio.h>

long sysctl_read(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (file && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}
