/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Suggests what was meant by a section or key that does not exist: first a key for which other tools use this
 * word, then a key of another section, then the nearest name.
 */
#include <string.h>

#include "base/ini_inside.h"
#include "base/text.h"

#define SUGGESTED_MAX 64

/* Words used by tc-netem, toxiproxy, the udp_proxy of Mbed TLS and of wolfSSL, mahimahi, and in everyday
 * language. */
static const struct synonym {
	const char *kind, *word, *key;
} synonyms[] = {
    {"link", "delay", "latency"},
    {"link", "lag", "latency"},
    {"link", "ping", "latency"},
    {"link", "rtt", "latency"},
    {"link", "variance", "jitter"},
    {"link", "packet_loss", "loss"},
    {"link", "packetloss", "loss"},
    {"link", "plr", "loss"},
    {"link", "drop", "loss"},
    {"link", "burst", "loss_run"},
    {"link", "loss_burst", "loss_run"},
    {"link", "loss_correlation", "loss_run"},
    {"link", "bandwidth", "rate"},
    {"link", "throughput", "rate"},
    {"link", "bitrate", "rate"},
    {"link", "speed", "rate"},
    {"link", "limit", "queue"},
    {"link", "buffer", "queue"},
    {"link", "dup", "duplicate"},
    {"link", "duplication", "duplicate"},
    {"link", "corruption", "corrupt"},
    {"link", "bad_ad", "corrupt"},
    {"link", "reordering", "reorder"},
    {"link", "gap", "reorder_by"},
    {"rule", "action", "do"},
    {"rule", "actions", "do"},
    {"rule", "dir", "direction"},
    {"rule", "packet", "nth"},
    {"rule", "number", "nth"},
    {"rule", "count", "limit"},
    {"rule", "times", "limit"},
    {"rule", "max", "limit"},
    {"rule", "length", "size"},
    {"rule", "type", "dtls"},
    {"rule", "message", "dtls"},
    {"rule", "chance", "probability"},
    {"rule", "prob", "probability"},
    {"rule", "percent", "probability"},
    {"rule", "time", "at"},
    {"rule", "when", "at"},
    {"rule", "after", "since"},
    {"rule", "match", "bytes"},
    {"rule", "retransmission", "attempt"},
    {"device", "ip", "address"},
    {"device", "addresses", "address"},
    {"device", "addr", "address"},
    {"device", "id", "identity"},
    {"device", "nat", "nat_timeout"},
    {"device", "udp_timeout", "nat_timeout"},
    {"device", "profile", "link"},
    {"device", "network", "link"},
    {"proxy", "bind", "listen"},
    {"proxy", "port", "listen"},
    {"proxy", "listen_port", "listen"},
    {"proxy", "server", "upstream"},
    {"proxy", "server_addr", "upstream"},
    {"proxy", "target", "upstream"},
    {"proxy", "remote", "upstream"},
    {"proxy", "cloud", "upstream"},
    {"proxy", "backend", "upstream"},
    {"proxy", "timeout", "idle_timeout"},
    {"capture", "path", "file"},
    {"capture", "pcap", "file"},
    {"capture", "output", "file"},
    {"capture", "write", "file"},
};

void ini_suggest_section(const struct ini *ini, const char *written, struct text *out)
{
	const char *names[SUGGESTED_MAX];
	const char *nearest;
	size_t count = ini->kind_count < SUGGESTED_MAX ? ini->kind_count : SUGGESTED_MAX;
	char word[INI_SECTION_MAX + 1];

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(written, " \t"), written);
	for (size_t i = 0; i < count; i++)
		names[i] = ini->kinds[i]->name;
	nearest = text_nearest(word, names, count);
	text_add(out, "unknown section [%s]; ", written);
	if (nearest)
		text_add(out, "did you mean [%s]?", nearest);
	else
		text_add(out,
		    "there are [proxy], [capture], [device NAME], [link NAME], [rule NAME] and [control]");
}

static const char *find_synonym(const struct section_kind *kind, const char *word)
{
	for (size_t i = 0; i < sizeof(synonyms) / sizeof(*synonyms); i++)
		if (strcmp(synonyms[i].kind, kind->name) == 0 && strcmp(synonyms[i].word, word) == 0)
			return synonyms[i].key;
	return NULL;
}

/* Returns a kind of section other than `not_this` that has this key, or a synonym of one; or NULL. */
static const struct section_kind *other_kind_with(
    const struct ini *ini, const struct section_kind *not_this, const char *written)
{
	for (size_t i = 0; i < ini->kind_count; i++) {
		const struct section_kind *kind = ini->kinds[i];
		int way;

		if (kind != not_this && (keys_find(kind, written, &way) || find_synonym(kind, written)))
			return kind;
	}
	return NULL;
}

/* Returns the prefix "up." of "up.loss", also if it is written as in other tools; "" if there is none.
 * Sets *bare to what follows. */
static const char *strip_direction(const char *written, const char **bare)
{
	static const struct {
		const char *word, *prefix;
	} rows[] = {{"up.", "up."}, {"down.", "down."}, {"upload.", "up."}, {"download.", "down."},
	    {"uplink.", "up."}, {"downlink.", "down."}, {"up_", "up."}, {"down_", "down."}, {"ul.", "up."},
	    {"dl.", "down."}, {"upstream.", "up."}, {"downstream.", "down."}};

	*bare = written;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strncmp(written, rows[i].word, strlen(rows[i].word)) == 0) {
			*bare = written + strlen(rows[i].word);
			return rows[i].prefix;
		}
	return "";
}

void ini_suggest_key(
    const struct ini *ini, const struct section_kind *kind, const char *written, struct text *out)
{
	const char *names[SUGGESTED_MAX];
	const char *bare, *direction = strip_direction(written, &bare), *meant;
	const struct section_kind *other = other_kind_with(ini, kind, written);
	size_t count = 0;
	int way;

	for (; count < kind->key_count && count < SUGGESTED_MAX; count++)
		names[count] = kind->keys[count].name;
	meant = keys_find(kind, bare, &way) ? bare : find_synonym(kind, bare);
	if (!meant && other) {
		const char *key = keys_find(other, written, &way) ? written : find_synonym(other, written);

		text_add(out, "unknown key; `%s` belongs in a section [%s%s]", key, other->name,
		    other->named ? " NAME" : "");
		return;
	}
	meant = meant ? meant : text_nearest(bare, names, count);
	if (!meant)
		text_add(out, "unknown key; `deadzone help ini` lists those of [%s]", kind->name);
	else if (*direction && !(keys_find(kind, meant, &way)->flags & KEY_EACH_WAY))
		text_add(out, "this key takes no direction; it is written `%s`", meant);
	else
		text_add(out, "unknown key; did you mean `%s%s`?", direction, meant);
}
