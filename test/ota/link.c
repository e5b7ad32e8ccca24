/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mbed TLS sends and receives through hooks: send_hook passes a datagram to the owner, receive_hook returns
 * the one that link_receive was given, once. Its timers run on the owner's clock. What 0.6.4 did otherwise (a
 * truncated record ends the session, for one) is done around these hooks.
 */
#include "link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/x509_crt.h>

#define RECORD_HEADER 13
#define HEADER_TO_CID 11 /* type, version, epoch, sequence number */
#define CERTIFICATE_MAX 1024

struct link_setup {
	struct link_settings settings;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_pk_context key;
	mbedtls_x509_crt certificate;
	mbedtls_ssl_cookie_ctx cookies;
	mbedtls_ssl_config config;
};

struct link {
	struct link_setup *setup;
	mbedtls_ssl_context tls;
	link_send_datagram *send;
	void *owner;
	uint8_t peer[64];
	size_t peer_size;
	uint8_t incoming[LINK_DATAGRAM_MAX];
	size_t incoming_size;          /* 0 once the library has taken it */
	uint64_t halfway_ms, timer_ms; /* the handshake's; CLOCK_NEVER: cancelled */
	enum link_state state;
	uint8_t cid[LINK_CID_SIZE]; /* cloud: given to the device */
	bool resuming;
	char why[96];
};

/* ---- Setup ---- */

static const int suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, 0};

static int certify(struct link_setup *setup)
{
	mbedtls_x509write_cert writer;
	mbedtls_mpi serial;
	unsigned char der[CERTIFICATE_MAX];
	char name[3 + 2 * LINK_ID_SIZE + 1] = "CN=";
	int size;

	for (size_t i = 0; i < LINK_ID_SIZE; i++)
		snprintf(name + 3 + 2 * i, 3, "%02x", setup->settings.id[i]);
	mbedtls_mpi_init(&serial);
	mbedtls_x509write_crt_init(&writer);
	mbedtls_x509write_crt_set_subject_key(&writer, &setup->key);
	mbedtls_x509write_crt_set_issuer_key(&writer, &setup->key);
	mbedtls_x509write_crt_set_md_alg(&writer, MBEDTLS_MD_SHA256);
	size = mbedtls_x509write_crt_set_subject_name(&writer, name) ||
	               mbedtls_x509write_crt_set_issuer_name(&writer, name) || mbedtls_mpi_lset(&serial, 1) ||
	               mbedtls_x509write_crt_set_serial(&writer, &serial) ||
	               mbedtls_x509write_crt_set_validity(&writer, "20170101000000", "20991231235959")
	           ? -1
	           : mbedtls_x509write_crt_der(
	                 &writer, der, sizeof(der), mbedtls_ctr_drbg_random, &setup->random);
	mbedtls_x509write_crt_free(&writer);
	mbedtls_mpi_free(&serial);
	if (size < 0)
		return -1;
	return mbedtls_x509_crt_parse_der(
	    &setup->certificate, der + sizeof(der) - (size_t)size, (size_t)size);
}

static int prepare(struct link_setup *setup)
{
	int side = setup->settings.side == LINK_DEVICE ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER;
	mbedtls_ssl_config *config = &setup->config;

	if (mbedtls_ctr_drbg_seed(&setup->random, mbedtls_entropy_func, &setup->entropy, NULL, 0) ||
	    mbedtls_pk_setup(&setup->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) ||
	    mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(setup->key), mbedtls_ctr_drbg_random,
	        &setup->random) ||
	    certify(setup) ||
	    mbedtls_ssl_config_defaults(
	        config, side, MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT) ||
	    mbedtls_ssl_conf_own_cert(config, &setup->certificate, &setup->key) ||
	    mbedtls_ssl_cookie_setup(&setup->cookies, mbedtls_ctr_drbg_random, &setup->random))
		return -1;
	mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
	mbedtls_ssl_conf_ciphersuites(config, suites);
	mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &setup->random);
	mbedtls_ssl_conf_authmode(
	    config, side == MBEDTLS_SSL_IS_CLIENT ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_OPTIONAL);
	mbedtls_ssl_conf_ca_chain(config, &setup->certificate, NULL);
	mbedtls_ssl_conf_cert_req_ca_list(config, MBEDTLS_SSL_CERT_REQ_CA_LIST_DISABLED);
	mbedtls_ssl_conf_handshake_timeout(
	    config, setup->settings.handshake_min_ms, setup->settings.handshake_max_ms);
	mbedtls_ssl_conf_dtls_cookies(
	    config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &setup->cookies);
	return mbedtls_ssl_conf_cid(
	    config, side == MBEDTLS_SSL_IS_SERVER ? LINK_CID_SIZE : 0, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE);
}

struct link_setup *link_setup_new(const struct link_settings *settings)
{
	struct link_setup *setup = calloc(1, sizeof(*setup));

	if (!setup)
		return NULL;
	setup->settings = *settings;
	mbedtls_entropy_init(&setup->entropy);
	mbedtls_ctr_drbg_init(&setup->random);
	mbedtls_pk_init(&setup->key);
	mbedtls_x509_crt_init(&setup->certificate);
	mbedtls_ssl_cookie_init(&setup->cookies);
	mbedtls_ssl_config_init(&setup->config);
	if (prepare(setup)) {
		link_setup_free(setup);
		return NULL;
	}
	return setup;
}

void link_setup_free(struct link_setup *setup)
{
	if (!setup)
		return;
	mbedtls_ssl_config_free(&setup->config);
	mbedtls_ssl_cookie_free(&setup->cookies);
	mbedtls_x509_crt_free(&setup->certificate);
	mbedtls_pk_free(&setup->key);
	mbedtls_ctr_drbg_free(&setup->random);
	mbedtls_entropy_free(&setup->entropy);
	free(setup);
}

/* ---- What the library calls ---- */

static int send_hook(void *pointer, const unsigned char *bytes, size_t size)
{
	struct link *link = pointer;
	uint8_t marked[LINK_DATAGRAM_MAX];
	bool move = bytes[0] == MBEDTLS_SSL_MSG_APPLICATION_DATA;

	if (!link->resuming || !(move || bytes[0] == LINK_TYPE_CID) ||
	    size + LINK_ID_SIZE + 1 > sizeof(marked)) {
		link->send(link->owner, bytes, size);
		return (int)size;
	}
	memcpy(marked, bytes, size);
	marked[0] = move ? LINK_TYPE_MOVE : LINK_TYPE_CID_RESUMED;
	memcpy(marked + size, link->setup->settings.id, LINK_ID_SIZE);
	marked[size + LINK_ID_SIZE] = LINK_ID_SIZE;
	link->send(link->owner, marked, move ? size + LINK_ID_SIZE + 1 : size);
	return (int)size;
}

static int receive_hook(void *pointer, unsigned char *bytes, size_t room)
{
	struct link *link = pointer;
	size_t size = link->incoming_size;

	if (!size)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (size > room)
		size = room;
	memcpy(bytes, link->incoming, size);
	link->incoming_size = 0;
	return (int)size;
}

static void set_timer_hook(void *pointer, uint32_t halfway_ms, uint32_t final_ms)
{
	struct link *link = pointer;
	uint64_t now = clock_ms(link->setup->settings.clock);

	link->halfway_ms = final_ms ? now + halfway_ms : CLOCK_NEVER;
	link->timer_ms = final_ms ? now + final_ms : CLOCK_NEVER;
}

/* Returns -1 if cancelled, 1 if only the halfway time has passed, 2 if both have, else 0. */
static int get_timer_hook(void *pointer)
{
	struct link *link = pointer;
	uint64_t now = clock_ms(link->setup->settings.clock);

	if (link->timer_ms == CLOCK_NEVER)
		return -1;
	return now >= link->timer_ms ? 2 : now >= link->halfway_ms ? 1 : 0;
}

/* ---- A link ---- */

static void lose(struct link *link, const char *why)
{
	link->state = LINK_LOST;
	link->timer_ms = CLOCK_NEVER;
	snprintf(link->why, sizeof(link->why), "%s", why);
}

static void lose_by_code(struct link *link, int code)
{
	char text[80];

	mbedtls_strerror(code, text, sizeof(text));
	lose(link, code == MBEDTLS_ERR_SSL_TIMEOUT ? "handshake timed out" : text);
}

/* The device's own connection ID is empty, so that records sent to it carry none. */
static int enable_cid(struct link *link)
{
	const struct link_settings *settings = &link->setup->settings;

	if (settings->side == LINK_DEVICE)
		return settings->cid == LINK_CID_OFFERED
		           ? mbedtls_ssl_set_cid(&link->tls, MBEDTLS_SSL_CID_ENABLED, NULL, 0)
		           : 0;
	if (mbedtls_ctr_drbg_random(&link->setup->random, link->cid, LINK_CID_SIZE))
		return -1;
	return mbedtls_ssl_set_cid(&link->tls, MBEDTLS_SSL_CID_ENABLED, link->cid, LINK_CID_SIZE);
}

struct link *link_new(
    struct link_setup *setup, link_send_datagram *send, void *owner, const void *peer, size_t peer_size)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	*link = (struct link){.setup = setup, .send = send, .owner = owner, .timer_ms = CLOCK_NEVER};
	link->peer_size = peer_size < sizeof(link->peer) ? peer_size : sizeof(link->peer);
	memcpy(link->peer, peer, link->peer_size);
	mbedtls_ssl_init(&link->tls);
	if (mbedtls_ssl_setup(&link->tls, &setup->config) || enable_cid(link) ||
	    (setup->settings.side == LINK_CLOUD &&
	        mbedtls_ssl_set_client_transport_id(&link->tls, link->peer, link->peer_size))) {
		link_free(link);
		return NULL;
	}
	mbedtls_ssl_set_bio(&link->tls, link, send_hook, receive_hook, NULL);
	mbedtls_ssl_set_timer_cb(&link->tls, link, set_timer_hook, get_timer_hook);
	mbedtls_ssl_set_datagram_packing(&link->tls, 0);
	return link;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	mbedtls_ssl_free(&link->tls);
	free(link);
}

static void shake(struct link *link)
{
	int code = mbedtls_ssl_handshake(&link->tls);

	if (code == 0) {
		link->state = LINK_OPEN;
	} else if (code == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED) {
		mbedtls_ssl_session_reset(&link->tls);
		mbedtls_ssl_set_client_transport_id(&link->tls, link->peer, link->peer_size);
	} else if (code != MBEDTLS_ERR_SSL_WANT_READ && code != MBEDTLS_ERR_SSL_WANT_WRITE) {
		lose_by_code(link, code);
	}
}

void link_tick(struct link *link)
{
	if (link->state == LINK_HANDSHAKING)
		shake(link);
}

uint64_t link_due(const struct link *link)
{
	return link->state == LINK_HANDSHAKING ? link->timer_ms : CLOCK_NEVER;
}

/* Treats malformed records like 0.6.4. Returns whether the datagram goes no further. */
static bool refuse(struct link *link, const uint8_t *bytes, size_t size)
{
	if (size <= 1)
		return true;
	if (bytes[0] < MBEDTLS_SSL_MSG_CHANGE_CIPHER_SPEC || bytes[0] > MBEDTLS_SSL_MSG_APPLICATION_DATA) {
		mbedtls_ssl_send_alert_message(
		    &link->tls, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE);
		return true;
	}
	if (size >= RECORD_HEADER && (size_t)(bytes[11] << 8 | bytes[12]) > size - RECORD_HEADER) {
		lose(link, "truncated record: internal error, session reset");
		return true;
	}
	return false;
}

void link_receive(struct link *link, const uint8_t *bytes, size_t size)
{
	const struct link_settings *settings = &link->setup->settings;

	link->incoming_size = 0;
	if (size > sizeof(link->incoming) || !size)
		return;
	if (settings->side == LINK_DEVICE && settings->manners == LINK_MANNERS_064 &&
	    refuse(link, bytes, size))
		return;
	memcpy(link->incoming, bytes, size);
	link->incoming_size = size;
}

size_t link_read(struct link *link, uint8_t *bytes, size_t room)
{
	int got;

	/* A flight timer that has just expired is served first; the datagram is left for the next turn. */
	do {
		if (link->state == LINK_HANDSHAKING)
			shake(link);
	} while (link->state == LINK_HANDSHAKING && link->incoming_size);
	if (link->state != LINK_OPEN)
		return 0;
	got = mbedtls_ssl_read(&link->tls, bytes, room);
	if (got > 0) {
		link->resuming = false;
		return (size_t)got;
	}
	if (got == MBEDTLS_ERR_SSL_CLIENT_RECONNECT)
		link->state = LINK_HANDSHAKING;
	else if (got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || got == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		lose_by_code(link, got);
	else if (got != MBEDTLS_ERR_SSL_WANT_READ && got != MBEDTLS_ERR_SSL_WANT_WRITE && got != 0)
		lose_by_code(link, got);
	return 0;
}

int link_send(struct link *link, const uint8_t *bytes, size_t size)
{
	if (link->state != LINK_OPEN)
		return -1;
	return mbedtls_ssl_write(&link->tls, bytes, size) == (int)size ? 0 : -1;
}

enum link_state link_state(const struct link *link)
{
	return link->state;
}

const char *link_why(const struct link *link)
{
	return link->why;
}

void link_resume(struct link *link)
{
	link->resuming = true;
}

struct link_origin link_look(uint8_t *bytes, size_t *size)
{
	struct link_origin origin = {0};

	if (*size <= RECORD_HEADER + LINK_ID_SIZE)
		return origin;
	if (bytes[0] == LINK_TYPE_MOVE && bytes[*size - 1] == LINK_ID_SIZE) {
		bytes[0] = MBEDTLS_SSL_MSG_APPLICATION_DATA;
		*size -= LINK_ID_SIZE + 1;
		origin = (struct link_origin){.id = bytes + *size, .resumed = true};
	} else if (bytes[0] == LINK_TYPE_CID || bytes[0] == LINK_TYPE_CID_RESUMED) {
		origin = (struct link_origin){
		    .cid = bytes + HEADER_TO_CID, .resumed = bytes[0] == LINK_TYPE_CID_RESUMED};
		bytes[0] = LINK_TYPE_CID;
	}
	return origin;
}

bool link_has_cid(const struct link *link, const uint8_t *cid)
{
	return memcmp(link->cid, cid, LINK_CID_SIZE) == 0;
}

int link_peer_id(const struct link *link, uint8_t id[LINK_ID_SIZE])
{
	const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&link->tls);

	if (!peer || peer->subject.val.len != 2 * LINK_ID_SIZE)
		return -1;
	for (size_t i = 0; i < LINK_ID_SIZE; i++) {
		char digits[3] = {(char)peer->subject.val.p[2 * i], (char)peer->subject.val.p[2 * i + 1], 0};

		id[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return 0;
}
