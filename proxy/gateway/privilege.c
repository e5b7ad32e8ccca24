/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/gateway/privilege.h"

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

int privilege_keep(uint64_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data))
		return -1;
	for (int i = 0; i < 2; i++) {
		uint32_t part = (uint32_t)(kept >> (32 * i));

		data[i].effective &= part;
		data[i].permitted &= part;
		data[i].inheritable &= part;
	}
	return (int)syscall(SYS_capset, &header, data);
}
