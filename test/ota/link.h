/*
 * link: one DTLS 1.2 association over datagrams, on Mbed TLS. It owns no socket: datagrams come in through
 * link_receive and leave through the owner's `send`.
 *
 *   handshaking ── both Finished ──> open ── alert, truncated record (0.6.4), handshake time-out ──> lost
 *
 * Suite ECDHE-ECDSA-AES128-CCM8 only, P-256, with certificates made at start in place of Particle's raw
 * public keys; the common name carries the device's id. One record a datagram, as the Mbed TLS of Device OS
 * 0.6.4 sent them. No connection IDs: Debian's Mbed TLS 2.28 is built without them.
 *
 * Session move (doc/particle.md 3.4): after link_move, application records leave with type 254 and the
 * device's id behind them until the first record comes in. The cloud undoes that with link_unmove before
 * link_receive.
 *
 * Order of calls: link_receive, then link_read until it gives 0. link_tick when link_due has come.
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
#define LINK_TYPE_MOVE 254

enum link_side { LINK_DEVICE, LINK_CLOUD };
enum link_state { LINK_HANDSHAKING, LINK_OPEN, LINK_LOST };

/* How a device takes malformed records (doc/particle.md 3.2): as 0.6.4 did, or as its present library does.
 */
enum link_manners { LINK_MANNERS_064, LINK_MANNERS_LIBRARY };

/* What all links of a program share: keys, certificate, handshake timers. */
struct link_setup;
struct link_settings {
	enum link_side side;
	enum link_manners manners;
	const struct clock *clock;
	uint32_t handshake_min_ms, handshake_max_ms; /* first and longest flight timer */
	uint8_t id[LINK_ID_SIZE];
};

struct link_setup *link_setup_new(const struct link_settings *settings);
void link_setup_free(struct link_setup *setup);

struct link;
typedef void link_send_datagram(void *owner, const uint8_t *bytes, size_t size);

/* `peer` (any bytes that tell one address from another) binds the cookie of the cloud's HelloVerifyRequest.
 */
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

void link_move(struct link *link);
bool link_moving(const struct link *link);
/* Takes a moved record's trailer off and its type back; gives the id's place within, or NULL if it is none.
 */
const uint8_t *link_unmove(uint8_t *bytes, size_t *size);
/* The id in the peer's certificate: 0 or -1. */
int link_peer_id(const struct link *link, uint8_t id[LINK_ID_SIZE]);

#endif
