#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""NAT mappings on the wire: each has a source port, a forgotten one stays silent, and the capture shows it all."""

import pathlib
import signal
import socket

import dtls
from checks import check, check_equal, until
from harness import run_all, test
from shark import arrivals, departures, events, read_capture, tshark

IP_RECVERR = 11  # linux/in.h
NAT = "[device any]\nnat_timeout = 150ms\n"


def ports(cloud):
    """Returns the source ports that the cloud has seen, in order, without repetition."""
    seen = []
    for _, address, _, _ in cloud.received:
        if address[1] not in seen:
            seen.append(address[1])
    return seen


def icmp_errors(cloud):
    """Returns an ICMP error that the kernel keeps for the cloud's socket, or None."""
    try:
        return cloud.udp.recvmsg(1, 256, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None


@test
def a_forgotten_mapping_is_silent_and_the_next_takes_another_port(scene):
    cloud = scene.cloud(answer=None)
    cloud.udp.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    proxy = scene.proxy(NAT, upstream=cloud)
    device = scene.device(proxy)
    device.send(b"one")
    cloud.expect(1)
    old = cloud.received[0][1]
    cloud.udp.sendto(b"in time", old)
    check_equal(device.receive()[0], b"in time")
    proxy.told(r"s=1 nat-expired")
    cloud.udp.sendto(b"too late", old)
    proxy.when_received(2, "down")
    device.send(b"two")
    cloud.expect(2)
    new = cloud.received[1][1]
    check(new != old, f"the port stayed {old[1]}")
    cloud.udp.sendto(b"to the old port", old)
    cloud.udp.sendto(b"to the new port", new)
    check_equal(device.receive()[0], b"to the new port")
    check(not icmp_errors(cloud), "the cloud got an ICMP error")
    summary = proxy.stop()
    session = summary["sessions"][0]
    check_equal(session["rebinds"], 1)
    check_equal(session["down"]["dropped"], {"nat-expired": 2})
    packets = read_capture(proxy.capture)
    told = events(packets)
    check(any(f"nat-rebound port={new[1]}" in line for line in told), str(told))
    up_ports = [packet.source[1] for packet in departures(packets) if packet.fields["dir"] == "up"]
    check_equal(up_ports, [old[1], new[1]])
    down = [(packet.destination[1], packet.fields.get("reason")) for packet in arrivals(packets)
            if packet.fields["dir"] == "down"]
    check_equal(down, [(old[1], None), (old[1], "nat-expired"), (old[1], "nat-expired"), (new[1], None)])


@test
def rebind_takes_a_port_that_the_session_never_had(scene):
    cloud = scene.cloud()
    rule = "[rule shift]\ndirection = up\ndo = rebind\nexpect = 12\n"
    proxy = scene.proxy(rule, upstream=cloud)
    device = scene.device(proxy)
    for number in range(12):
        device.send(b"%d" % number)
        cloud.expect(number + 1)
    check_equal(len(set(ports(cloud))), 12)
    proxy.signal(signal.SIGUSR1)
    proxy.told(r"rebindings 11 \(old ports still open: 8\)")
    summary = proxy.stop()
    check_equal(summary["sessions"][0]["rebinds"], 11)
    check_equal(summary["sessions"][0]["port"], ports(cloud)[-1])
    check_equal(summary["sessions"][0]["old_ports"], 8, "old ports that are still open")
    check_equal(summary["totals"]["sessions"], 1)


@test
def rebind_address_takes_the_next_source(scene):
    cloud = scene.cloud(answer=None)
    rule = "[rule shift]\nnth = 2\ndirection = up\ndo = rebind address\n"
    proxy = scene.proxy(rule, upstream=cloud, keys="source = 127.0.0.5, 127.0.0.6")
    device = scene.device(proxy)
    for number in range(3):
        device.send(b"%d" % number)
        cloud.expect(number + 1)
    check_equal([address[0] for _, address, _, _ in cloud.received], ["127.0.0.5", "127.0.0.6", "127.0.0.6"])
    proxy.stop()


@test
def rules_count_on_across_a_rebinding(scene):
    cloud = scene.cloud()
    rules = "[rule shift]\nnth = 2\ndirection = up\ndo = rebind\n[rule third]\nnth = 3\ndirection = up\ndo = drop\nexpect = 1\n"
    proxy = scene.proxy(rules, upstream=cloud)
    device = scene.device(proxy)
    for number in range(4):
        device.send(b"%d" % number)
    check_equal(cloud.expect(3), [b"0", b"1", b"3"])
    proxy.stop()


@test
def without_a_connection_id_a_rebinding_costs_a_handshake(scene):
    """OpenSSL's server identifies its peer by address and port alone (-listen connects its socket)."""
    dtls.need("openssl")
    cipher = dtls.PSK_CIPHERS[0]
    server = dtls.openssl_psk_server(scene, cipher, "-listen")
    rule = "[rule shift]\ndirection = up\ndtls = application_data\nnth = 2\nlimit = 1\nscope = all\ndo = rebind\n"
    proxy = scene.proxy(rule, upstream=f"127.0.0.1:{server.port}")
    client = dtls.openssl_psk_client(scene, proxy.port, cipher)
    client.say("before")
    server.hears("before")
    client.say("from another port")
    proxy.summary_when(lambda summary: summary["icmp_errors"] > 0, "the server's refusal of the new port")
    client.program.close()
    check("from another port" not in server.program.lines, server.program.text)
    server.program.close()
    again = dtls.openssl_psk_server(scene, cipher, "-listen", port=server.port)
    client = dtls.openssl_psk_client(scene, proxy.port, cipher)
    client.say("after")
    again.hears("after")
    summary = proxy.stop()
    check_equal([(one["handshakes"], one["rebinds"]) for one in summary["sessions"]], [(1, 1), (1, 0)])
    key_exchanges = tshark(proxy.capture, "-d", "udp.port==1-65535,dtls", "-Y",
                           'dtls.handshake.type == 16 and frame.interface_name == "device"', "-T", "fields", "-e",
                           "frame.comment").splitlines()
    check_equal([line.split()[0] for line in key_exchanges], ["s=1", "s=2"], "handshakes in the capture")


def record(kind, epoch, number, body, cid=b""):
    return (bytes([kind]) + b"\xfe\xfd" + epoch.to_bytes(2, "big") + number.to_bytes(6, "big") + cid +
            len(body).to_bytes(2, "big") + body)


def is_stopped(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


def hello(kind, body):
    size = len(body).to_bytes(3, "big")
    return record(22, 0, 0, bytes([kind]) + size + bytes(5) + size + body)


CLIENT_HELLO = hello(1, b"\xfe\xfd" + b"R" * 32 + b"\0\0" + b"\0\2\xc0\xae" + b"\1\0" + b"\0\5\0\x36\0\1\0")
SERVER_HELLO = hello(2, b"\xfe\xfd" + b"S" * 32 + b"\0" + b"\xc0\xae\0" + b"\0\7\0\x36\0\3\2ab")


@test
def a_device_that_moves_gets_what_waits_for_it(scene):
    """An answer and a record from the device's new address are read in one round, also with a full table."""
    for limit in (100, 1):
        cloud = scene.cloud(answer=None)
        proxy = scene.proxy("[device all]\nfollow_cid = yes\n", upstream=cloud, keys=f"max_sessions = {limit}\n")
        before, after = scene.device(proxy), scene.device(proxy)
        before.send(CLIENT_HELLO)
        cloud.expect(1)
        port = cloud.received[0][1]
        cloud.udp.sendto(SERVER_HELLO, port)
        before.expect(1)
        before.send(record(25, 1, 1, bytes(20), b"ab"))
        cloud.expect(2)
        proxy.signal(signal.SIGSTOP)
        until(lambda: is_stopped(proxy.process.pid), "the proxy to be stopped")
        cloud.udp.sendto(b"down", port)
        after.send(record(25, 1, 2, bytes(20), b"ab"))
        proxy.signal(signal.SIGCONT)
        cloud.expect(3)
        proxy.told(rf"s=1 device-moved device={after.address}")
        check_equal(after.receive()[0], b"down", f"max_sessions = {limit}")
        check_equal(proxy.stop()["totals"]["sessions"], 1)


run_all()
