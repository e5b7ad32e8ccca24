/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/sandbox/privilege.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t privilege_effective(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

int privilege_set_effective(uint64_t effective)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[0].effective = (uint32_t)effective;
	data[1].effective = (uint32_t)(effective >> 32);
	return (int)syscall(SYS_capset, &header, data);
}

int privilege_keep(uint64_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	uint32_t excess = 0;

	if (syscall(SYS_capget, &header, data))
		return -1;
	for (int i = 0; i < 2; i++) {
		uint32_t part = (uint32_t)(kept >> (32 * i));

		excess |= (data[i].effective | data[i].permitted | data[i].inheritable) & ~part;
		data[i].effective &= part;
		data[i].permitted &= part;
		data[i].inheritable &= part;
	}
	if (!excess)
		return 0;
	return (int)syscall(SYS_capset, &header, data);
}
