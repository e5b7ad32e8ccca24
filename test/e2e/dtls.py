# SPDX-License-Identifier: BSD-2-Clause
"""DTLS peers from Debian's packages: the servers and clients of OpenSSL, GnuTLS and libcoap.

Their quirks: s_server serves one client per process; both OpenSSL programs wait forever in a read after a
duplicated handshake record unless -nbio is given; s_client and gnutls-cli make one record of each read of
standard input, so lines are paced by waiting for them at the other end; gnutls-serv serves one client after
another and binds all addresses; coap-client exits with 0 whatever happened;
coap-server serves DTLS on its port + 1, and binds both ports on UDP and TCP.
"""

import shutil
import socket
import subprocess

import harness as h

KEY = "0123456789abcdef0123456789abcdef"
IDENTITY = "lab"
PSK_CIPHERS = ("PSK-AES128-CCM8", "PSK-AES128-GCM-SHA256")
HANDSHAKE_PATIENCE = 40.0  # a lost flight costs 1 s, then 2 s, then 4 s


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise h.Skip(f"{program} is not installed")


class Peer:
    """A program that prints the lines that it receives, and sends the lines of its standard input."""

    def __init__(self, program, port=None):
        self.program, self.port = program, port

    def say(self, line):
        self.program.process.stdin.write(line.encode() + b"\n")
        self.program.process.stdin.flush()

    def hears(self, line):
        return self.program.told(f"^{line}$", patience=HANDSHAKE_PATIENCE)


def start(scene, *words):
    return Peer(scene.program(*words, stdin=subprocess.PIPE, merge=True))


def exchange(client, server, rounds=3):
    """Sends a few lines each way, and waits for each at the other end."""
    for i in range(rounds):
        client.say(f"up line {i}")
        server.hears(f"up line {i}")
        server.say(f"down line {i}")
        client.hears(f"down line {i}")


def certificate(scene):
    """Returns (certificate file, key file), made by openssl."""
    paths = scene.path("cert.pem"), scene.path("key.pem")
    if not paths[0].exists():
        done = h.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                     "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                     "-out", paths[0], "-keyout", paths[1])
        h.check_equal(done.returncode, 0, done.stderr)
    return paths


# ---- OpenSSL ----


def openssl_secret(cipher):
    return ["-psk", KEY, "-psk_identity", IDENTITY, "-cipher", cipher]


def openssl_server(scene, *secret, port=0):
    server = start(scene, "openssl", "s_server", "-dtls1_2", "-nbio", "-naccept", "1", "-accept", f"127.0.0.1:{port}",
                   *secret)
    found = server.program.told(r"^ACCEPT(?: \S+:(\d+))?$")
    server.port = int(found[1] or port)
    return server


def openssl_psk_server(scene, cipher, *more, port=0):
    return openssl_server(scene, "-nocert", *openssl_secret(cipher), *more, port=port)


def openssl_client(scene, port, *secret):
    return start(scene, "openssl", "s_client", "-dtls1_2", "-nbio", "-connect", f"127.0.0.1:{port}", *secret)


def openssl_psk_client(scene, port, cipher):
    return openssl_client(scene, port, *openssl_secret(cipher))


# ---- GnuTLS ----

GNUTLS_12 = "NORMAL:-VERS-ALL:+VERS-DTLS1.2"
GNUTLS_PSK = "NORMAL:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8:+AES-128-GCM:-VERS-ALL:+VERS-DTLS1.2"


def gnutls_server(scene, *secret):
    """Starts an echo server, which serves one client after another. It does not take port 0."""
    for _ in range(5):
        port = h.free_port("0.0.0.0")
        server = start(scene, "gnutls-serv", "--udp", "--echo", "--noticket", "--port", port, *secret)
        try:
            server.program.told(r"UDP echo server ready|Echo Server listening on IPv4", patience=5)
            h.until(lambda p=port: udp_port_is_held(p), "gnutls-serv's port", 5)
        except h.Failure:  # another process took the port meanwhile
            server.program.close()
            continue
        server.port = port
        return server
    raise h.Failure("gnutls-serv did not come up")


def gnutls_psk_server(scene):
    secrets = scene.path("psk.txt", f"{IDENTITY}:{KEY}\n")
    return gnutls_server(scene, "--pskpasswd", secrets, "--priority", GNUTLS_PSK)


def gnutls_client(scene, port, *secret):
    return start(scene, "gnutls-cli", "--udp", "--port", port, *secret, "127.0.0.1")


def gnutls_psk_client(scene, port):
    return gnutls_client(scene, port, "--pskusername", IDENTITY, "--pskkey", KEY, "--priority", GNUTLS_PSK)


def udp_port_is_held(port):
    with open("/proc/net/udp", encoding="ascii") as four, open("/proc/net/udp6", encoding="ascii") as six:
        return any(line.split()[1].endswith(f":{port:04X}") for line in [*four, *six] if ":" in line)


# ---- libcoap ----


def coap_server(scene):
    """Starts a server that stores what is PUT and returns it on GET; `port` is its DTLS port."""
    for _ in range(5):
        port = h.free_port(kinds=(socket.SOCK_DGRAM, socket.SOCK_STREAM), span=2)
        server = start(scene, "coap-server-openssl", "-A", "127.0.0.1", "-p", port, "-k", KEY, "-h", "hint", "-d", "10")
        try:
            h.until(lambda p=port: udp_port_is_held(p + 1), "coap-server's port", 5)
        except h.Failure:
            server.program.close()
            continue
        server.port = port + 1
        return server
    raise h.Failure("coap-server did not come up")


def coap(*words, port, path, patience):
    """Runs coap-client to its end; its exit status means nothing."""
    return h.run("coap-client-openssl", "-k", KEY, "-u", IDENTITY, "-B", patience, *words,
                 f"coaps://127.0.0.1:{port}/{path}", patience=patience + 20)
