#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Key logs in the capture: tshark decrypts every file of a run without any option."""

import signal

import dtls
from checks import check, check_equal, until
from harness import deadzone, run_all, test
from shark import tshark


def decrypted(path):
    """Returns the application data that tshark decrypts."""
    words = ("-T", "fields", "-e", "data.data", "-Y", "dtls and data", "-d", "udp.port==1-65535,dtls")
    return [bytes.fromhex(line) for line in tshark(path, *words).split() if line]


def secret_blocks(path):
    """Returns the kinds of the file's blocks in order: "secrets" (Decryption Secrets Block), "packet" or "other"."""
    content, at, order = path.read_bytes(), 0, []
    while at < len(content):
        kind = int.from_bytes(content[at:at + 4], "little")
        order.append({10: "secrets", 6: "packet"}.get(kind, "other"))
        at += int.from_bytes(content[at + 4:at + 8], "little")
    return order


def talk(scene, capture_keys=""):
    """Starts an OpenSSL pair whose client writes a key log; returns the proxy, still running, and the peers."""
    log = scene.path("keys.log")
    cert, key = dtls.certificate(scene)
    server = dtls.openssl_server(scene, "-cert", cert, "-key", key)
    proxy = scene.proxy(f"[capture]\nkeylog = {log}\n{capture_keys}", upstream=f"127.0.0.1:{server.port}")
    client = dtls.openssl_client(scene, proxy.port, "-keylogfile", log)
    dtls.exchange(client, server)
    return proxy, client, server


@test
def tshark_decrypts_without_an_option(scene):
    proxy, _, _ = talk(scene, "keylog_wait = 200ms\n")
    proxy.stop()
    plain = b"".join(decrypted(proxy.capture))
    for line in (b"up line 0", b"down line 2"):
        check(line in plain, f"{line!r} is not among {plain!r}")
    order = secret_blocks(proxy.capture)
    check(order.index("secrets") < order.index("packet"), f"a packet comes before the keys: {order[:8]}")


@test
def the_next_file_starts_with_the_keys(scene):
    proxy, client, server = talk(scene)
    proxy.signal(signal.SIGUSR2)
    second = proxy.capture.with_name(f"{proxy.capture.stem}-2{proxy.capture.suffix}")
    until(lambda: second.exists() and second.stat().st_size, "the second file")
    client.say("in the second file")
    server.hears("in the second file")
    proxy.stop()
    # Without the handshake tshark cannot use the keys, but it could for a session that resumes in this file.
    order = secret_blocks(second)
    check_equal(order.count("secrets"), 1)
    check(order.index("secrets") < order.index("packet"), f"a packet comes before the keys: {order[:8]}")


@test
def packets_are_held_back_for_keylog_wait_alone(scene):
    proxy, _, _ = talk(scene, "keylog_wait = 1h\n")
    order = secret_blocks(proxy.capture)
    check("packet" not in order, "a packet was written before its time")
    proxy.stop()  # this writes everything
    check(b"up line 2" in b"".join(decrypted(proxy.capture)), "the packets held back were not written at the end")


@test
def classic_pcap_has_no_place_for_keys(scene):
    path = scene.path("c.ini", "[capture]\nformat = pcap\nkeylog = k.log\n")
    done = deadzone("check", path)
    check_equal(done.returncode, 2)
    check("classic pcap has no place for keys" in done.stderr, done.stderr)


run_all()
