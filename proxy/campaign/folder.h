/* SPDX-License-Identifier: BSD-2-Clause */
/* folder: making, copying and removing whole folders. Paths are absolute or relative to the working
 * directory; symbolic links inside a folder are removed or copied as links. */
#ifndef PROXY_CAMPAIGN_FOLDER_H
#define PROXY_CAMPAIGN_FOLDER_H

#include <stdbool.h>

#include "base/error.h"

/* Makes the folder and those above it. Returns 0, or -1 and sets *error. */
int folder_make(const char *path, struct error *error);
/* Makes the folder in which `path` lies. */
int folder_make_above(const char *path, struct error *error);
/* Removes the folder and what is in it; one that does not exist is removed already. */
int folder_remove(const char *path, struct error *error);
/* Removes the folders above `path`, up to but not including `top`, as far as they are empty. */
void folder_remove_empty(const char *path, const char *top);
/* Copies a folder to a path that does not exist. */
int folder_copy(const char *from, const char *to, struct error *error);
#define FOLDER_TRIES 100 /* to make what others keep removing */

bool folder_exists(const char *path);

#endif
