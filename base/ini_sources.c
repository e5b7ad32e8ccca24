/* SPDX-License-Identifier: BSD-2-Clause */
/* ini_sources: all that a configuration is made from, each on top of what was read before it. */
#include "base/ini_inside.h"

struct ini *ini_read_sources(const struct ini_sources *sources, const struct section_kind *const *kinds,
    size_t kind_count, const char *profile_dir, struct complaints *complaints)
{
	struct ini *ini = ini_new(kinds, kind_count, profile_dir, complaints);

	ini_use_files(ini, sources->files);
	for (size_t i = 0; i < sources->set_count; i++)
		if (ini_replaces_includes(sources->sets[i]))
			ini_replace_includes(ini);
	if (sources->file)
		ini_read(ini, sources->file);
	for (size_t i = 0; i < sources->overlay_count; i++)
		ini_overlay(ini, sources->overlays[i]);
	ini_profiles_read(ini); /* settings may refer to their links */
	for (size_t i = 0; i < sources->set_count; i++)
		ini_set(ini, sources->sets[i]);
	for (size_t i = 0; i < sources->patch_count; i++)
		ini_set_live(ini, sources->patches[i], sources->live_files);
	ini_inherit(ini);
	return ini;
}
