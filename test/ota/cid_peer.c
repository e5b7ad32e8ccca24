/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cid-peer: both ends of a DTLS 1.2 session with connection IDs (RFC 9146), using Mbed TLS.
 *
 * `cid-peer server` binds two loopback ports, prints "ports A B", and echoes what it receives. The session
 * begins on A. The server continues it on B for records that carry its connection ID, like the nodes of a
 * cluster that share session state.
 *
 * `cid-peer client PORT` sends each line of standard input, and prints what comes back.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>

#define TLS12_CID 25 /* RFC 9146, section 4: the content type of records with a connection ID */

static const unsigned char key[] = "0123456789abcdef", identity[] = "lab";
static const int suites[] = {MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, 0};

struct wire {
	int sockets[2]; /* the client has only the first; the other is -1 */
	int latest;     /* index of the one that received last: answers leave from it */
};

static void give_up(const char *what, int result)
{
	fprintf(stderr, "cid-peer: %s failed: %d\n", what, result);
	exit(1);
}

static int bound_socket(unsigned *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockname(fd, (struct sockaddr *)&address, &size))
		give_up("bind", fd);
	*port = ntohs(address.sin_port);
	return fd;
}

static void connect_to(int fd, const struct sockaddr_in *peer)
{
	if (connect(fd, (const struct sockaddr *)peer, sizeof(*peer)))
		give_up("connect", fd);
}

static int wire_send(void *context, const unsigned char *bytes, size_t size)
{
	const struct wire *wire = context;

	return (int)send(wire->sockets[wire->latest], bytes, size, 0);
}

static int wire_receive(void *context, unsigned char *bytes, size_t size, uint32_t timeout)
{
	struct wire *wire = context;
	struct pollfd polled[2] = {
	    {.fd = wire->sockets[0], .events = POLLIN}, {.fd = wire->sockets[1], .events = POLLIN}};

	for (;;) {
		struct sockaddr_in from;
		socklen_t from_size = sizeof(from);
		ssize_t got;
		int which;

		if (poll(polled, 2, timeout ? (int)timeout : -1) == 0)
			return MBEDTLS_ERR_SSL_TIMEOUT;
		which = polled[0].revents ? 0 : 1;
		got = recvfrom(wire->sockets[which], bytes, size, 0, (struct sockaddr *)&from, &from_size);
		if (got <= 0 || (which == 1 && bytes[0] != TLS12_CID))
			continue;
		if (wire->sockets[1] >= 0)
			connect_to(wire->sockets[which], &from);
		wire->latest = which;
		return (int)got;
	}
}

static void configure(mbedtls_ssl_config *config, int role)
{
	static mbedtls_entropy_context entropy;
	static mbedtls_ctr_drbg_context random;

	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&random);
	mbedtls_ssl_config_init(config);
	if (mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) ||
	    mbedtls_ssl_config_defaults(
	        config, role, MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT) ||
	    mbedtls_ssl_conf_psk(config, key, sizeof(key) - 1, identity, sizeof(identity) - 1) ||
	    mbedtls_ssl_conf_cid(config, 4, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE))
		give_up("configuration", 0);
	mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &random);
	mbedtls_ssl_conf_ciphersuites(config, suites);
	if (role == MBEDTLS_SSL_IS_SERVER)
		mbedtls_ssl_conf_dtls_cookies(config, NULL, NULL, NULL);
}

static void shake_hands(mbedtls_ssl_context *ssl, const char *own)
{
	unsigned char peer[MBEDTLS_SSL_CID_OUT_LEN_MAX];
	size_t size;
	int result, enabled;

	if (mbedtls_ssl_set_cid(ssl, MBEDTLS_SSL_CID_ENABLED, (const unsigned char *)own, strlen(own)))
		give_up("connection ID", 0);
	do
		result = mbedtls_ssl_handshake(ssl);
	while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE);
	if (result || mbedtls_ssl_get_peer_cid(ssl, &enabled, peer, &size) ||
	    enabled != MBEDTLS_SSL_CID_ENABLED)
		give_up("handshake with connection IDs", result);
	puts("handshake done");
}

int main(int argc, char **argv)
{
	const int is_server = argc == 2 && strcmp(argv[1], "server") == 0;
	struct wire wire = {.sockets = {-1, -1}};
	mbedtls_timing_delay_context timer;
	mbedtls_ssl_config config;
	mbedtls_ssl_context ssl;
	unsigned ports[2];
	char line[256];

	if (!is_server && argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i <= is_server; i++)
		wire.sockets[i] = bound_socket(&ports[i]);
	if (is_server)
		printf("ports %u %u\n", ports[0], ports[1]);
	else
		connect_to(wire.sockets[0], &(struct sockaddr_in){.sin_family = AF_INET,
		                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                                .sin_port = htons((uint16_t)atoi(argv[2]))});
	configure(&config, is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT);
	mbedtls_ssl_init(&ssl);
	if (mbedtls_ssl_setup(&ssl, &config))
		give_up("set-up", 0);
	mbedtls_ssl_set_bio(&ssl, &wire, wire_send, NULL, wire_receive);
	mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
	shake_hands(&ssl, is_server ? "srvr" : "clnt");
	while (is_server || fgets(line, sizeof(line), stdin)) {
		int size = (int)strcspn(line, "\n");

		if (!is_server)
			mbedtls_ssl_write(&ssl, (unsigned char *)line, (size_t)size);
		size = mbedtls_ssl_read(&ssl, (unsigned char *)line, sizeof(line));
		if (size < 0)
			give_up("read", size);
		printf("%.*s\n", size, line);
		if (is_server) {
			printf("at %s\n", wire.latest ? "B" : "A");
			mbedtls_ssl_write(&ssl, (unsigned char *)line, (size_t)size);
		}
	}
	return 0;
}
