/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link: one DTLS 1.2 association over datagrams, on Mbed TLS. It owns no socket: datagrams come in through
 * link_receive and leave through the owner's `send`.
 *
 *   handshaking ── both Finished ──> open ── alert, truncated record (0.6.4), handshake time-out ──> lost
 *
 * The only suite is ECDHE-ECDSA-AES128-CCM8 on P-256, with certificates made at start in place of Particle's
 * raw public keys; the common name carries the device's id. Each datagram has one record, like those of the
 * Mbed TLS in Device OS 0.6.4.
 *
 * Connection IDs (test/ota/README.md 3.5): a device that offers an empty one is given one of 8 bytes, which
 * every record that it sends then carries (type 25); the cloud's records have none.
 *
 * A resumed session marks its application records until the first record comes in: with type 254 and the
 * device's id behind them (test/ota/README.md 3.4), or with type 253 if there is a connection ID (3.5). The
 * cloud removes the mark with link_look before link_receive.
 *
 * Call link_receive, then link_read until it returns 0; call link_tick when link_due has come.
 */
#ifndef OTA_LINK_H
#define OTA_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"

#define LINK_ID_SIZE 12
#define LINK_DATAGRAM_MAX 2048
#define LINK_TYPE_HANDSHAKE 22
#define LINK_TYPE_CID 25
#define LINK_TYPE_CID_RESUMED 253
#define LINK_TYPE_MOVE 254
#define LINK_CID_SIZE 8

enum link_side { LINK_DEVICE, LINK_CLOUD };
enum link_state { LINK_HANDSHAKING, LINK_OPEN, LINK_LOST };

/* How a device treats malformed records (test/ota/README.md 3.2): like 0.6.4, or like its present library. */
enum link_manners { LINK_MANNERS_064, LINK_MANNERS_LIBRARY };

/* Whether a device offers connection IDs; a cloud always accepts the offer. */
enum link_cid { LINK_CID_NONE, LINK_CID_OFFERED };

/* What all links of a program share: keys, certificate, handshake timers. */
struct link_setup;
struct link_settings {
	enum link_side side;
	enum link_manners manners;
	enum link_cid cid;
	const struct clock *clock;
	uint32_t handshake_min_ms, handshake_max_ms; /* first and longest flight timer */
	uint8_t id[LINK_ID_SIZE];
};

struct link_setup *link_setup_new(const struct link_settings *settings);
void link_setup_free(struct link_setup *setup);

struct link;
typedef void link_send_datagram(void *owner, const uint8_t *bytes, size_t size);

/* The cookie of the cloud's HelloVerifyRequest is bound to `peer`, any bytes that identify an address. */
struct link *link_new(
    struct link_setup *setup, link_send_datagram *send, void *owner, const void *peer, size_t peer_size);
void link_free(struct link *link);

void link_tick(struct link *link); /* also starts a device's handshake */
uint64_t link_due(const struct link *link);

void link_receive(struct link *link, const uint8_t *bytes, size_t size);
size_t link_read(struct link *link, uint8_t *bytes, size_t room);
int link_send(struct link *link, const uint8_t *bytes, size_t size); /* 0 or -1 */

enum link_state link_state(const struct link *link);
const char *link_why(const struct link *link); /* why it is lost */

/* Resumes the device's session at its present address: its records are marked until one comes in. */
void link_resume(struct link *link);

/* The sender as far as a datagram identifies it: pointers into the datagram, or NULL. */
struct link_origin {
	const uint8_t *id;  /* of a moved session's device */
	const uint8_t *cid; /* LINK_CID_SIZE bytes */
	bool resumed;
};
/* Removes a resumed session's mark, and returns what the datagram says about its sender. */
struct link_origin link_look(uint8_t *bytes, size_t *size);
/* Returns whether the cloud gave the device this connection ID. */
bool link_has_cid(const struct link *link, const uint8_t *cid);
/* Copies the id in the peer's certificate. Returns 0 or -1. */
int link_peer_id(const struct link *link, uint8_t id[LINK_ID_SIZE]);

#endif
