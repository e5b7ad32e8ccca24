/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nft: libnftables, loaded when it is first used: it brings several further libraries, and it ends the
 * process when memory runs out. So only the gateway's helper process, `doctor` and `gateway-setup` use it.
 */
#ifndef PROXY_GATEWAY_NFT_H
#define PROXY_GATEWAY_NFT_H

#include <stdbool.h>

#include "base/error.h"

struct nft;

/* Returns NULL and sets *error if the library is missing, or the program was built without it. Tables that
 * this handle owns are removed when it is closed. */
struct nft *nft_open(struct error *error);
void nft_close(struct nft *nft);
/* Carries out commands, all or none. Returns 0, or -1 and sets *error to the first thing that failed.
 * `*output` (may be NULL) is what they print, valid until the next call. */
int nft_run(struct nft *nft, const char *commands, const char **output, struct error *error);
/* The same without changing anything: the kernel checks the commands. */
int nft_try(struct nft *nft, const char *commands, struct error *error);
/* Sets *error to why the kernel rejects a table, with the remedy if modules may be missing. Returns -1. */
int nft_explain(const struct error *why, struct error *error);

#endif
