#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compares `attempt` and the report with tshark, for real handshakes that lose each message once."""

import concurrent.futures
import json
import re

import dtls
import harness as h
from harness import check, check_equal, test

# tshark's names of handshake types
TYPES = {1: "client_hello", 2: "server_hello", 3: "hello_verify_request", 4: "new_session_ticket", 11: "certificate",
         12: "server_key_exchange", 13: "certificate_request", 14: "server_hello_done", 15: "certificate_verify",
         16: "client_key_exchange"}
PSK = ["up client_hello", "down hello_verify_request", "down server_hello", "down server_hello_done",
       "up client_key_exchange", "up finished", "down new_session_ticket", "down finished"]
CERT = ["down certificate", "down server_key_exchange", "down certificate_request", "up certificate",
        "up certificate_verify"]


def seen_by_tshark(capture, ports):
    """Returns {(direction, message): [times of arrival]}; a record that came twice counts once."""
    fields = ("frame.time_relative", "frame.interface_name", "udp.srcport", "dtls.record.content_type", "dtls.record.epoch",
              "dtls.record.sequence_number", "dtls.handshake.type")
    words = ["-T", "fields", "-E", "separator=/t", "-Y", 'frame.comment contains "verdict="']
    words += [word for port in ports for word in ("-d", f"udp.port=={port},dtls")]  # tshark may know a port for another protocol
    rows = [dict(zip(fields, line.split("\t"))) for line in
            h.tshark(capture, *words, *[word for field in fields for word in ("-e", field)]).splitlines()]
    seen, numbers = {}, set()
    for row in rows:
        way = "up" if row["frame.interface_name"] == "device" else "down"
        kinds = [int(one) for one in row["dtls.record.content_type"].split(",") if one]
        epochs = [int(one) for one in row["dtls.record.epoch"].split(",") if one]
        sequences = [int(one) for one in row["dtls.record.sequence_number"].split(",") if one]
        types = [int(one) for one in row["dtls.handshake.type"].split(",") if one]
        for kind, epoch, sequence in zip(kinds, epochs, sequences):
            if kind not in (20, 22):
                continue
            name = "change_cipher_spec" if kind == 20 else TYPES[types.pop(0)] if epoch == 0 else "finished"
            if (way, epoch, sequence, name) in numbers:
                continue
            numbers.add((way, epoch, sequence, name))
            seen.setdefault((way, name), []).append(float(row["frame.time_relative"]))
    return seen


def lose_once(scene, message, server, client, link="latency = 20ms"):
    """Connects through a proxy that loses this message's first try; returns the report's handshake and tshark's."""
    way, kind = message.split()
    proxy = scene.proxy(f"[link default]\n{link}\n[rule lost]\ndirection = {way}\ndtls = {kind}\nattempt = 1\ndo = drop\n"
                        "expect = 1-\n", upstream=f"127.0.0.1:{server.port}")
    peer = client(proxy.port)
    dtls.exchange(peer, server, rounds=1)
    peer.program.close()
    proxy.stop()  # this checks that the rule has fired as often as expected
    done = h.deadzone("report", proxy.capture, "--json")
    check_equal(done.returncode, 0, done.stderr)
    found = json.loads(done.stdout)["sessions"][0]["dtls"]["handshakes"]
    check_equal(len(found), 1, found)
    return found[0], seen_by_tshark(proxy.capture, (proxy.port, server.port))


def check_against_tshark(handshake, seen, what):
    """Compares every message: how often it was sent and when, counted from the first ClientHello."""
    told, began = {}, min(seen[("up", "client_hello")])
    for message in handshake["messages"]:
        # A ClientHello with a cookie is another message by its message_seq, which the tshark fields here do not show.
        times = told.setdefault((message["dir"], message["message"]), [])
        at = message["at"]
        times.append(at)
        for gap in message["again_after_seconds"]:
            at += gap
            times.append(at)
    check_equal(sorted(told), sorted(seen), f"{what}: messages")
    for key, times in told.items():
        want = [at - began for at in sorted(seen[key])]
        got = [at - handshake["at"] for at in sorted(times)]
        check_equal(len(got), len(want), f"{what}: how often {key} was sent")
        check(all(abs(a - b) < 0.002 for a, b in zip(got, want)), f"{what}: {key} at {got}, tshark says {want}")


def check_lost(scene, message, server, client):
    handshake, seen = lose_once(scene, message, server, client)
    check_against_tshark(handshake, seen, message)
    check_equal(handshake["kind"], "full", message)
    # RFC 6347's first timer is 1 s: whichever message was lost, the handshake lasts at least that long.
    check(handshake["seconds"] > 0.9, f"{message}: it took {handshake['seconds']} s")
    way, kind = message.split()
    again = [one for one in handshake["messages"] if (one["dir"], one["message"]) == (way, kind) and one["sends"] > 1]
    check(again, f"{message} was sent again: {handshake['messages']}")
    check(0.9 < again[0]["again_after_seconds"][0], f"{message}: {again[0]}")
    # OpenSSL cuts a message into other fragments when it retransmits it.
    whole = [one for one in handshake["messages"] if "fragment_offset" not in one]
    check(all(one["delivered"] for one in whole), f"{message}: all arrived in the end: {whole}")


def each_lost_once(messages, peers):
    """Tests each message in its own scene, several at a time, since they mostly wait for a peer's timer."""
    def one(message):
        scene = h.Scene()
        try:
            check_lost(scene, message, *peers(scene, message))
        finally:
            scene.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(one, message) for message in messages]:
            done.result()


def openssl_psk(scene, message):
    more = [] if "ticket" in message else ["-no_ticket"]
    server = dtls.openssl_psk_server(scene, dtls.PSK_CIPHERS[0], *more)
    return server, lambda port: dtls.openssl_psk_client(scene, port, dtls.PSK_CIPHERS[0])


def openssl_cert(scene, _message):
    pem, key = dtls.certificate(scene)
    files = ["-cert", pem, "-key", key]
    return dtls.openssl_server(scene, "-Verify", "1", *files), lambda port: dtls.openssl_client(scene, port, *files)


@test
def openssl_loses_each_message_once(_scene):
    dtls.need("openssl")
    each_lost_once(PSK, openssl_psk)


@test
def openssl_with_certificates_loses_each_message_once(_scene):
    dtls.need("openssl")
    each_lost_once(CERT, openssl_cert)


@test
def nothing_is_told_as_sent_again_that_was_not(scene):
    """A clean link has no retransmissions; nor has one that duplicates datagrams, since those are the same records."""
    dtls.need("openssl")
    for rule in ("", "[rule twice]\ndo = duplicate\n"):
        server, client = openssl_psk(scene, "none")
        proxy = scene.proxy(f"[link default]\nlatency = 5ms\n{rule}", upstream=f"127.0.0.1:{server.port}")
        peer = client(proxy.port)
        dtls.exchange(peer, server, rounds=1)
        peer.program.close()
        server.program.close()
        proxy.stop()
        done = h.deadzone("report", proxy.capture, "--json")
        handshake = json.loads(done.stdout)["sessions"][0]["dtls"]["handshakes"][0]
        again = [one for one in handshake["messages"] if one["sends"] > 1]
        seen = seen_by_tshark(proxy.capture, (proxy.port, server.port))
        # On a busy machine a peer's timer may expire all the same; then tshark shows it, too.
        check_equal({(one["dir"], one["message"]): one["sends"] for one in again},
                    {key: len(times) for key, times in seen.items() if len(times) > (2 if key[1] == "client_hello" else 1)},
                    rule or "a clean link")
        check(not re.search("sent 2 times", h.deadzone("report", proxy.capture).stdout) or again, "the JSON agrees")


if __name__ == "__main__":
    h.run_all()
