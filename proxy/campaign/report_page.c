/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/fresh.h"
#include "proxy/campaign/reports.h"

int report_page(const json_t *campaign, const char *title, const char *path, struct error *error)
{
	struct output_file file;

	(void)campaign;
	(void)title;
	if (output_file_open(&file, path, error))
		return -1;
	return output_file_close(&file, path, error);
}
