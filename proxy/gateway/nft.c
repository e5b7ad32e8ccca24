/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/gateway/nft.h"

#include <string.h>

#include "proxy/run/gateway_keys.h"

#if GATEWAY_BUILT

#include <dlfcn.h>
#include <nftables/libnftables.h>
#include <stdlib.h>

#include "base/memory.h"

struct nft {
	void *library;
	struct nft_ctx *context;
	typeof(nft_ctx_new) *ctx_new;
	typeof(nft_ctx_free) *ctx_free;
	typeof(nft_ctx_set_dry_run) *set_dry_run;
	typeof(nft_ctx_buffer_output) *buffer_output;
	typeof(nft_ctx_get_output_buffer) *get_output;
	typeof(nft_ctx_buffer_error) *buffer_error;
	typeof(nft_ctx_get_error_buffer) *get_error;
	typeof(nft_run_cmd_from_buffer) *run;
};

static bool find_functions(struct nft *nft)
{
	const struct {
		const char *name;
		void *into;
	} functions[] = {{"nft_ctx_new", &nft->ctx_new}, {"nft_ctx_free", &nft->ctx_free},
	    {"nft_ctx_set_dry_run", &nft->set_dry_run}, {"nft_ctx_buffer_output", &nft->buffer_output},
	    {"nft_ctx_get_output_buffer", &nft->get_output}, {"nft_ctx_buffer_error", &nft->buffer_error},
	    {"nft_ctx_get_error_buffer", &nft->get_error}, {"nft_run_cmd_from_buffer", &nft->run}};

	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
		void *function = dlsym(nft->library, functions[i].name);

		if (!function)
			return false;
		memcpy(functions[i].into, &function, sizeof(function));
	}
	return true;
}

struct nft *nft_open(struct error *error)
{
	struct nft *nft = memory_new(1, sizeof(*nft));

	nft->library = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
	if (nft->library && find_functions(nft))
		nft->context = nft->ctx_new(NFT_CTX_DEFAULT);
	if (nft->context) {
		nft->buffer_output(nft->context);
		nft->buffer_error(nft->context);
		return nft;
	}
	error_set(error, "libnftables cannot be used: %s; on Debian: `apt install libnftables1`",
	    nft->library ? "it lacks a function, or is out of memory" : "libnftables.so.1 is not installed");
	nft_close(nft);
	return NULL;
}

void nft_close(struct nft *nft)
{
	if (!nft)
		return;
	if (nft->context)
		nft->ctx_free(nft->context);
	if (nft->library)
		dlclose(nft->library);
	free(nft);
}

/* The library prints the place in the commands before, and a mark below, its message. */
static void take_error(struct nft *nft, struct error *error)
{
	const char *text = nft->get_error(nft->context), *at = text ? strstr(text, "Error: ") : NULL;

	at = at ? at + strlen("Error: ") : text ? text : "";
	error_set(error, "%.*s", (int)strcspn(at, "\n"), *at ? at : "no reason is given");
}

static int run(struct nft *nft, const char *commands, bool is_dry, const char **output, struct error *error)
{
	const char *printed;
	int status;

	nft->set_dry_run(nft->context, is_dry);
	status = nft->run(nft->context, commands);
	printed = nft->get_output(nft->context);
	if (output)
		*output = printed;
	if (status)
		take_error(nft, error);
	else
		nft->get_error(nft->context);
	return status ? -1 : 0;
}

int nft_run(struct nft *nft, const char *commands, const char **output, struct error *error)
{
	return run(nft, commands, false, output, error);
}

int nft_try(struct nft *nft, const char *commands, struct error *error)
{
	return run(nft, commands, true, NULL, error);
}

#else

struct nft *nft_open(struct error *error)
{
	error_set(error, "this program was built without libnftables");
	return NULL;
}

void nft_close(struct nft *nft)
{
	(void)nft;
}

int nft_run(struct nft *nft, const char *commands, const char **output, struct error *error)
{
	(void)nft;
	(void)commands;
	(void)output;
	return error_set(error, "this program was built without libnftables");
}

int nft_try(struct nft *nft, const char *commands, struct error *error)
{
	return nft_run(nft, commands, NULL, error);
}

#endif

/* The kernel loads the modules that a rule needs, or finds them missing, when it is given the rule. */
int nft_explain(const struct error *why, struct error *error)
{
	if (strstr(why->text, "No such file or directory") || strstr(why->text, "not supported"))
		return error_set(error,
		    "the kernel rejects the table: %s; if modules are missing, `modprobe -a nf_tables "
		    "nft_tproxy "
		    "nft_socket nft_ct nft_fib_inet`",
		    why->text);
	return error_set(error, "the kernel rejects the table: %s", why->text);
}
