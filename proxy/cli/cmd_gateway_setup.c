/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway-setup: prints, or runs, the script that makes this machine an access point. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/cli/command.h"
#include "proxy/gateway/access_point.h"
#include "proxy/run/log.h"
#include "proxy/run/summary.h"

#define PASSPHRASE_SIZE 13

/* Letters and digits that are not mistaken for one another. */
static bool draw_passphrase(char passphrase[PASSPHRASE_SIZE])
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	unsigned char bytes[PASSPHRASE_SIZE];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
		log_error("gateway-setup: no random numbers: %s", strerror(errno));
		return false;
	}
	for (int i = 0; i < PASSPHRASE_SIZE - 1; i++)
		passphrase[i] = letters[bytes[i] % (sizeof(letters) - 1)];
	passphrase[PASSPHRASE_SIZE - 1] = '\0';
	return true;
}

/* Returns an exit status. */
static int run_script(const struct text *script)
{
	char shell[] = "/bin/sh", option[] = "-c", *const words[] = {shell, option, script->at, NULL};
	int status, failure;
	pid_t child;

	failure = posix_spawn(&child, shell, NULL, NULL, words, environ);
	if (failure) {
		log_error("gateway-setup: no shell can be started: %s", strerror(failure));
		return EXIT_FAILED;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static bool is_given(const struct command_line *line, const char *option)
{
	size_t count;

	command_values(line, option, &count);
	return count > 0;
}

static const char *value_or(const struct command_line *line, const char *option, const char *otherwise)
{
	const char *value = command_value(line, option);

	return value ? value : otherwise;
}

static int run(const struct command_line *line)
{
	char drawn[PASSPHRASE_SIZE];
	struct access_point point = {.interface = command_value(line, "interface"),
	    .uplink = command_value(line, "uplink"),
	    .ssid = command_value(line, "ssid"),
	    .passphrase = command_value(line, "passphrase"),
	    .country = command_value(line, "country"),
	    .channel = value_or(line, "channel", "6"),
	    .network = value_or(line, "network", "10.84.0.1/24")};
	bool applies = is_given(line, "apply"), undoes = is_given(line, "undo");
	struct text script = {0};
	struct error error;
	int status = EXIT_DONE;

	if (!point.interface) {
		log_error("gateway-setup: name the devices' side, `--interface wlan0`; `ip link` lists what "
		          "there is");
		return EXIT_USAGE;
	}
	if (point.ssid && !point.passphrase) {
		if (!draw_passphrase(drawn))
			return EXIT_FAILED;
		point.passphrase = drawn;
	}
	if (access_point_check(&point, &error)) {
		log_error("gateway-setup: %s", error.text);
		return EXIT_USAGE;
	}
	if (undoes)
		access_point_undo(&point, &script);
	else
		access_point_script(&point, &script);
	if (!applies && !undoes) {
		fputs(script.at, stdout);
		status = fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
	} else if (geteuid() != 0) {
		log_error("gateway-setup: --%s needs root; without it the script is printed",
		    undoes ? "undo" : "apply");
		status = EXIT_FAILED;
	} else {
		status = run_script(&script);
		if (!status && !undoes && point.ssid)
			log_notice(
			    "the access point `%s` has the passphrase %s", point.ssid, point.passphrase);
		if (!status && !undoes)
			log_notice(
			    "devices on %s are intercepted by `deadzone run` with [gateway] interface = %s",
			    point.interface, point.interface);
	}
	text_free(&script);
	return status;
}

static const struct option_row options[] = {
    {'i', "interface", "NAME", false, "the devices' side, such as wlan0", NULL},
    {0, "ssid", "NAME", false, "make it a Wi-Fi access point of this name (hostapd)", NULL},
    {0, "passphrase", "TEXT", false, "of the Wi-Fi, 8 to 63 characters (default: random, printed)", NULL},
    {0, "country", "CC", false, "where the radio is, such as DE; the driver may demand it", NULL},
    {0, "channel", "N", false, "of the Wi-Fi (6)", NULL},
    {0, "network", "ADDR/N", false, "this machine's address in the devices' network (10.84.0.1/24)", NULL},
    {0, "uplink", "NAME", false, "uplink interface (default: that of the default route)", NULL},
    {0, "apply", NULL, false, "do it", NULL},
    {0, "undo", NULL, false, "revert what --apply has done", NULL},
};

const struct command command_gateway_setup_row = {
    .name = "gateway-setup",
    .words = "",
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "make a bare Debian or Raspberry Pi OS an access point to intercept on",
    .more = "Prints a shell script: hostapd (with --ssid), dnsmasq, forwarding, and masquerading to the "
            "uplink. Read\n"
            "it, or let --apply run it. Nothing of it outlives a restart of the machine. Without --ssid the "
            "interface\n"
            "is a wired one, such as a USB Ethernet adapter. See doc/gateway.md.",
};
