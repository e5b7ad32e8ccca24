/* SPDX-License-Identifier: BSD-2-Clause */
/* setup_check: what keys require of each other, and of other sections. */
#include "proxy/run/setup_inside.h"

#include "proxy/run/endpoint.h"

static void require_key(
    struct setup *setup, const struct setup_source *source, const char *key, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "proxy", "");
	struct place place = {.file = source->ini.file, .line = 0, .section = "proxy"};

	if (section && ini_entry(section, key))
		return;
	if (section)
		place = (struct place){.file = section->file, .line = section->line, .section = "proxy"};
	complaints_add(
	    complaints, COMPLAINT_ERROR, &place, "lacks `%s = …`, which `deadzone run` needs", key);
}

static void listeners_check(struct setup *setup, struct complaints *complaints)
{
	for (size_t i = 0; i < setup->config->device_count; i++) {
		const struct device *device = &setup->config->devices[i];
		const struct ini_section *section = ini_find(setup->ini, "device", device->name);

		for (size_t k = 0; k < device->listener.count; k++) {
			char text[ADDRESS_TEXT_SIZE];
			size_t index = 0;

			while (index < setup->proxy.listen.count &&
			       !address_equal(&setup->proxy.listen.all[index], &device->listener.all[k]))
				index++;
			if (index == setup->proxy.listen.count)
				ini_complain(section, ini_entry(section, "listener"), complaints,
				    "[proxy] does not listen on `%s`",
				    address_text(&device->listener.all[k], text, sizeof(text)));
		}
	}
}

/* A NAT timeout has no effect if the session ends before it. */
static void nat_check(const struct setup *setup, struct complaints *complaints)
{
	for (size_t i = 0; i < setup->config->device_count; i++) {
		const struct device *device = &setup->config->devices[i];
		const struct ini_section *section = ini_find(setup->ini, "device", device->name);
		static const char *const keys[] = {"nat_timeout", "nat_timeout_stream"};
		const ns_t times[] = {device->nat_timeout, device->nat_timeout_stream};

		for (int k = 0; k < 2; k++) {
			const struct ini_entry *entry = ini_entry(section, keys[k]);

			if (entry && times[k] >= setup->proxy.idle_timeout)
				ini_note(section, entry, complaints,
				    "is not below idle_timeout: the session ends before its mapping is "
				    "forgotten");
		}
	}
}

bool setup_leads_back(const struct addresses *listen, const char *text)
{
	struct address upstream;
	struct error error;

	if (address_read(text, &upstream, &error))
		return false;
	for (size_t i = 0; i < listen->count; i++) {
		const struct address *listener = &listen->all[i];

		if (listener->port != upstream.port || listener->family != upstream.family)
			continue;
		if (address_same_host(listener, &upstream) ||
		    (address_is_any(listener) &&
		        (address_is_loopback(&upstream) || address_is_any(&upstream))))
			return true;
	}
	return false;
}

static void upstream_check(const struct setup *setup, const struct ini_section *section, const char *key,
    const char *text, struct complaints *complaints)
{
	if (setup_leads_back(&setup->proxy.listen, text))
		ini_complain(section, ini_entry(section, key), complaints,
		    "`%s` leads back to our own listener; every datagram would go round for ever", text);
}

/* The servers that rules move sessions to. */
static void moves_check(const struct setup *setup, const struct names *names, struct complaints *complaints)
{
	const struct config *config = setup->config;

	for (size_t i = 0; i < config->rule_count; i++)
		for (size_t k = 0; k < config->rules[i].actions.count; k++)
			if (config->rules[i].actions.all[k].upstream)
				upstream_check(setup, ini_find(setup->ini, "rule", config->rules[i].name),
				    "do", names_get(names, config->rules[i].actions.all[k].upstream),
				    complaints);
}

static void listen_check(struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "proxy", "");
	const struct addresses *listen = &setup->proxy.listen;
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < listen->count; i++)
		for (size_t k = 0; k < i; k++)
			if (listen->all[i].port && address_equal(&listen->all[i], &listen->all[k]))
				ini_complain(section, ini_entry(section, "listen"), complaints,
				    "`%s` is listed twice",
				    address_text(&listen->all[i], text, sizeof(text)));
	if (setup->proxy.upstream && !setup->proxy.is_original)
		upstream_check(setup, section, "upstream", setup->proxy.upstream, complaints);
	for (size_t i = 0; i < setup->config->device_count; i++)
		if (setup->config->devices[i].upstream)
			upstream_check(setup, ini_find(setup->ini, "device", setup->config->devices[i].name),
			    "upstream", setup->config->devices[i].upstream, complaints);
}

/* Anybody who can connect may control the run; from other machines, a token is required. */
static void control_check(const struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "control", "");
	struct endpoint endpoint;
	struct error error;

	for (size_t i = 0; !setup->control.token && i < setup->control.listen.count; i++) {
		const char *text = setup->control.listen.all[i];

		if (endpoint_read(text, &endpoint, &error) == 0 && !endpoint.is_unix &&
		    !address_is_loopback(&endpoint.address))
			ini_complain(section, ini_entry(section, "listen"), complaints,
			    "`%s` is reached from other machines: it needs `token = FILE`", text);
	}
}

static void destination_check(const struct setup *setup, struct complaints *complaints)
{
	for (size_t i = 0; i < setup->config->device_count; i++) {
		const struct ini_section *section = ini_find(
		    setup->ini, "device", setup->config->devices[i].name);

		if (setup->config->devices[i].destination.count && setup->proxy.upstream &&
		    !setup->proxy.is_original)
			ini_complain(section, ini_entry(section, "destination"), complaints,
			    "needs `[proxy] upstream = original`: only then do devices send to their own "
			    "clouds");
	}
}

/* Rejects what does not work with several workers, each of which knows only its own devices' sessions. */
static void workers_check(
    const struct setup *setup, const struct setup_source *source, struct complaints *complaints)
{
	const struct config *config = setup->config;
	bool is_kept = source->workers && source->workers != setup->proxy.workers;

	if ((source->workers ? source->workers : setup->proxy.workers) < 2)
		return;
	for (size_t i = 0; i < config->device_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "device", config->devices[i].name);

		if (config->devices[i].follow_cid)
			ini_complain(section, ini_entry(section, "follow_cid"), complaints,
			    "needs `workers = 1`%s: a device's new address may be another worker's",
			    is_kept ? " from the start of the run on" : "");
	}
	for (size_t i = 0; i < config->link_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "link", config->links[i].name);

		if (config->links[i].shared != SHARED_SESSION)
			ini_complain(section, ini_entry(section, "shared"), complaints,
			    "needs `workers = 1`%s: those who share it may be several workers'",
			    is_kept ? " from the start of the run on" : "");
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "rule", config->rules[i].name);

		if (config->rules[i].scope == SCOPE_DEVICE)
			ini_complain(section, ini_entry(section, "scope"), complaints,
			    "needs `workers = 1`%s: a device's sessions may be several workers'",
			    is_kept ? " from the start of the run on" : "");
		if (config->rules[i].scope == SCOPE_ALL)
			ini_note(section, ini_entry(section, "scope"), complaints,
			    "with `workers` above 1 each worker counts its own devices' sessions");
	}
}

/* Keys for a capture that cannot hold them. */
static void capture_check(const struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "capture", "");

	if (setup->capture.keylog.count && setup->capture.format == CAPTURE_PCAP)
		ini_complain(section, ini_entry(section, "keylog"), complaints,
		    "classic pcap has no place for keys; they need `format = pcapng`");
}

void setup_check_sections(const struct setup *setup, struct complaints *complaints)
{
	capture_check(setup, complaints);
	control_check(setup, complaints);
}

void setup_check(struct setup *setup, const struct setup_source *source, enum setup_use use,
    const struct names *names, struct complaints *complaints)
{
	bool has_proxy = ini_find(setup->ini, "proxy", "");

	/* If nothing could be read, that error is enough. */
	if (use == SETUP_RUN && (ini_count(setup->ini) || !complaints_count(complaints, COMPLAINT_ERROR))) {
		require_key(setup, source, "listen", complaints);
		require_key(setup, source, "upstream", complaints);
	}
	nat_check(setup, complaints);
	if (has_proxy && setup->proxy.listen.count)
		listeners_check(setup, complaints);
	if (has_proxy)
		listen_check(setup, complaints);
	moves_check(setup, names, complaints);
	destination_check(setup, complaints);
	gateway_keys_check(setup, complaints);
	workers_check(setup, source, complaints);
}
