#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real DTLS through the proxy: OpenSSL, GnuTLS and libcoap over clean and bad links.

OpenSSL and GnuTLS do not retransmit application data, so lines are expected only if none of it is lost;
libcoap's confirmable messages must get through any loss, and there the bytes of a file are compared.
"""

import random
import threading

import dtls
import harness as h
from harness import check, check_equal, test

CCM8, GCM = dtls.PSK_CIPHERS
BAD = """
[link default]
latency = 20ms
jitter = 10ms
duplicate = 20%
reorder = 10%
reorder_by = 15ms
"""
HANDSHAKE_TYPES = {1: "client_hello", 2: "server_hello", 3: "hello_verify_request", 4: "new_session_ticket",
                   11: "certificate", 12: "server_key_exchange", 14: "server_hello_done", 16: "client_key_exchange"}
CONTENT_TYPES = {20: "change_cipher_spec", 21: "alert", 22: "handshake", 23: "application_data"}


def through(scene, server, ini="", keys=""):
    return scene.proxy(ini, upstream=f"127.0.0.1:{server.port}", keys=keys)


def openssl_pair(scene, ini="", cipher=CCM8):
    """Returns (client, server, proxy); the client has just started."""
    dtls.need("openssl")
    server = dtls.openssl_psk_server(scene, cipher)
    proxy = through(scene, server, ini)
    return dtls.openssl_psk_client(scene, proxy.port, cipher), server, proxy


def openssl_certificate_pair(scene, ini=""):
    dtls.need("openssl")
    certificate, key = dtls.certificate(scene)
    server = dtls.openssl_server(scene, "-cert", certificate, "-key", key)
    proxy = through(scene, server, ini)
    client = dtls.openssl_client(scene, proxy.port, "-CAfile", certificate, "-verify", "1", "-verify_return_error")
    return client, server, proxy


def check_handshakes(summary, count=1, sessions=1):
    check_equal([s["handshakes"] for s in summary["sessions"]], [count] * sessions, "handshakes")


# ---- OpenSSL ----


@test
def openssl_psk(scene):
    for cipher in dtls.PSK_CIPHERS:
        for link in ("", BAD):
            client, server, proxy = openssl_pair(scene, link, cipher)
            dtls.exchange(client, server)
            check_handshakes(proxy.stop())
            check(f"Cipher    : {cipher}" in client.program.text, client.program.text)


@test
def openssl_certificate(scene):
    for link in ("", BAD):
        client, server, proxy = openssl_certificate_pair(scene, link)
        dtls.exchange(client, server)
        check_handshakes(proxy.stop())
        check("Verify return code: 0 (ok)" in client.program.text, client.program.text)


@test
def a_lost_client_hello_comes_again(scene):
    client, server, proxy = openssl_pair(scene, """
[rule first]
direction = up
dtls = client_hello
nth = 1
do = drop
[rule again]
direction = up
dtls = client_hello
attempt = 2
expect = 1
do = note
[rule with-cookie]
direction = up
dtls = client_hello
attempt = 1
expect = 1
do = note
""")
    dtls.exchange(client, server)
    summary = proxy.stop()
    check_handshakes(summary)
    check_equal(summary["rules"]["with-cookie"]["matched"], 2, "matched counts the one that was dropped, too")
    check_equal(summary["totals"]["up"]["dropped"], {"rule": 1})
    hellos = h.arrivals(h.read_capture(proxy.capture), "up")[:3]
    check_equal([p.fields["dtls"].split("/")[0] for p in hellos], ["handshake"] * 3)
    check_equal([p.fields["verdict"] for p in hellos], ["drop", "send", "send"])
    check("rule:again" in hellos[1].fields["by"] and "rule:again" not in hellos[2].fields["by"], hellos[1].comment)
    check(hellos[1].time - hellos[0].time > 500_000_000, "the second is a retransmission")


@test
def each_flight_may_be_lost_once(scene):
    """Rules recognise a plaintext message by its type, and the encrypted Finished by its epoch."""
    for way, kind in (("down", "server_hello"), ("up", "client_key_exchange"), ("down", "finished")):
        client, server, proxy = openssl_pair(
            scene, f"[rule lost]\ndirection = {way}\ndtls = {kind}\nattempt = 1\nlimit = 1\nexpect = 1\ndo = drop\n")
        dtls.exchange(client, server, 1)
        check_handshakes(proxy.stop())


@test
def nothing_of_a_duplicated_or_corrupted_record_gets_through(scene):
    client, server, proxy = openssl_pair(scene, """
[rule twice]
dtls = application_data
do = duplicate 3 1ms
[rule decoys]
dtls = application_data
do = decoy 1 at 20
""", GCM)
    dtls.exchange(client, server)
    summary = proxy.stop()
    check_equal((summary["totals"]["up"]["copies"], summary["totals"]["down"]["copies"]), (12, 12))
    for peer, way in ((client, "down"), (server, "up")):
        for i in range(3):
            check_equal(peer.program.lines.count(f"{way} line {i}"), 1, f"{way} line {i}")


@test
def a_lost_record_is_lost_alone(scene):
    client, server, proxy = openssl_pair(
        scene, "[rule second]\ndirection = up\ndtls = application_data\nnth = 2\nepoch = 1\nexpect = 1\n"
               "do = corrupt 1 at 30\n")
    dtls.exchange(client, server, 1)
    for line in ("this one is spoilt", "this one is whole"):
        client.say(line)
        # Each read of standard input becomes one record: the first must be sent before the next is typed.
        proxy.summary_when(lambda s, n=line: s["rules"]["second"]["fired"] == 1, "the corrupted record")
    server.hears("this one is whole")
    check("this one is spoilt" not in server.program.text, server.program.text)
    check_equal(proxy.stop()["totals"]["up"]["corrupted"], 1)


@test
def a_blackout_in_mid_session_is_survived(scene):
    client, server, proxy = openssl_pair(
        scene, "[rule dark]\ndirection = up\ndtls = application_data\nnth = 2\ndo = blackout 500ms both hold\n")
    dtls.exchange(client, server)
    summary = proxy.stop()
    check_equal(summary["rules"]["dark"]["fired"], 1)
    check(summary["totals"]["up"]["delay_ms"]["max"] >= 500, summary["totals"]["up"])


@test
def records_are_what_tshark_says(scene):
    """The kinds, epochs and numbers in comments and rules equal those of an independent dissector."""
    kinds = [*HANDSHAKE_TYPES.values(), "change_cipher_spec", "application_data", "finished", "none"]
    client, server, proxy = openssl_certificate_pair(
        scene, "".join(f"[rule {kind}]\ndtls = {kind}\ndo = note\n" for kind in kinds))
    dtls.exchange(client, server, 2)
    summary = proxy.stop()
    words = ["-n", "-d", "udp.port==1-65535,dtls", "-Y", "dtls",
             "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]
    for field in ("frame.comment", "dtls.record.content_type", "dtls.record.epoch", "dtls.record.sequence_number",
                  "dtls.handshake.type"):
        words += ["-e", field]
    counts = dict.fromkeys(kinds, 0)
    for line in h.tshark(proxy.capture, *words).splitlines():
        comment, content, epochs, numbers, handshakes = line.split("\t")
        if "verdict=" not in comment:
            continue
        contents, epochs, numbers = ([int(x) for x in text.split(",")] for text in (content, epochs, numbers))
        first = f"{CONTENT_TYPES[contents[0]]}/{epochs[0]}/{numbers[0]}"
        check_equal(h.parse_comment(comment)[0]["dtls"], first, comment)
        found = {HANDSHAKE_TYPES[int(x)] for x in handshakes.split(",") if x}
        found |= {CONTENT_TYPES[c] for c in contents if c in (20, 23)}
        found |= {"finished" for c, epoch in zip(contents, epochs) if (c, epoch) == (22, 1)}
        for kind in found:
            counts[kind] += 1
    check(counts["certificate"] and counts["finished"] == 2 and counts["application_data"] == 4, f"{counts}")
    check_equal({kind: summary["rules"][kind]["matched"] for kind in kinds}, counts)


# ---- GnuTLS ----


@test
def gnutls_psk(scene):
    dtls.need("gnutls-serv", "gnutls-cli")
    for link in ("", BAD):
        server = dtls.gnutls_psk_server(scene)
        proxy = through(scene, server, link)
        client = dtls.gnutls_psk_client(scene, proxy.port)
        for i in range(3):
            client.say(f"echo {i}")
            client.hears(f"echo {i}")
        check_handshakes(proxy.stop())


@test
def gnutls_certificate_in_fragments(scene):
    """A small MTU cuts the certificate into handshake fragments, and the first of them is lost once."""
    dtls.need("gnutls-serv", "gnutls-cli", "openssl")
    certificate, key = dtls.certificate(scene)
    server = dtls.gnutls_server(scene, "--x509certfile", certificate, "--x509keyfile", key, "--mtu", "300",
                                "--priority", dtls.GNUTLS_12)
    proxy = through(scene, server, BAD + "[rule lost]\ndirection = down\ndtls = certificate\nattempt = 1\nlimit = 1\n"
                                         "expect = 1\ndo = drop\n")
    client = dtls.gnutls_client(scene, proxy.port, "--x509cafile", certificate, "--priority", dtls.GNUTLS_12)
    client.say("a line")
    client.hears("a line")
    check_handshakes(proxy.stop())


# ---- libcoap ----


def transfer(scene, ini, sessions_lose):
    """PUTs 20 KiB in blocks and GETs them back, both through the proxy; returns the summary."""
    dtls.need("coap-server-openssl", "coap-client-openssl")
    server = dtls.coap_server(scene)
    proxy = through(scene, server, ini)
    there, back = scene.path("there.bin"), scene.path("back.bin")
    there.write_bytes(random.Random(5).randbytes(20 << 10))
    back.unlink(missing_ok=True)
    said = [dtls.coap("-m", "put", "-f", there, "-b", "1024", port=proxy.port, path="firmware", patience=60),
            dtls.coap("-m", "get", "-o", back, "-b", "1024", port=proxy.port, path="firmware", patience=60)]
    check(back.exists(), f"nothing came back; coap-client said {[s.stderr for s in said]}")
    check(back.read_bytes() == there.read_bytes(), f"{back.stat().st_size} bytes came back changed")
    proxy.summary_when(lambda s: not s["totals"]["up"]["queued"] + s["totals"]["down"]["queued"], "empty queues")
    summary = proxy.stop()
    check_handshakes(summary, sessions=2)
    lost = sum(summary["totals"][way]["dropped"].get("loss", 0) for way in ("up", "down"))
    check((lost > 0) == sessions_lose, f"{lost} datagrams lost")
    return summary


@test
def several_devices_at_once(scene):
    dtls.need("coap-server-openssl", "coap-client-openssl")
    server = dtls.coap_server(scene)
    proxy = through(scene, server, BAD)
    files = [scene.path(f"device{i}.bin") for i in range(4)]
    for i, path in enumerate(files):
        path.write_bytes(random.Random(i).randbytes(3000))
    clients = [threading.Thread(target=dtls.coap, args=("-m", "put", "-f", path, "-b", "512"),
                                kwargs={"port": proxy.port, "path": path.name, "patience": 30}) for path in files]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    check_handshakes(proxy.stop(), sessions=len(files))
    for path in files:
        back = scene.path("back.bin")
        dtls.coap("-m", "get", "-o", back, port=server.port, path=path.name, patience=30)
        check(back.read_bytes() == path.read_bytes(), f"{path.name} arrived changed")


@test
def libcoap_blocks_over_a_clean_link(scene):
    transfer(scene, "", False)


@test
def libcoap_blocks_over_a_bad_link(scene):
    transfer(scene, BAD.replace("latency = 20ms", "latency = 20ms\nloss = 3%"), True)


if __name__ == "__main__":
    h.run_all()
