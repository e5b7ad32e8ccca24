#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""simulate: the captures that it reads, how it finds device and cloud, and that its verdicts equal a live run's."""

import json
import struct

from checks import check, check_equal
from harness import TOP, deadzone, read_json, run_all, test
from packets import CLOUD, CLOUD6, DEVICE, DEVICE6, ETHERNET, LOOP, NULL, RAW, SLL, SLL2, framed, ip, pcap
from shark import arrivals, read_capture


def talk(device, cloud, count, payload=b"hello"):
    """Returns datagrams there and back, in turn."""
    pairs = [(device, cloud), (cloud, device)]
    return [ip(*pairs[i % 2], payload) for i in range(count)]


def simulate(scene, capture, ini="", *words, status=0):
    """Runs simulate; returns the summary and its messages."""
    summary = scene.path("summary.json")
    done = deadzone("simulate", "-c", scene.path("sim.ini", ini), "-r", capture, "--json", summary, *words)
    check_equal(done.returncode, status, done.stderr)
    return (read_json(summary) if status == 0 else None), done.stderr


def received(summary):
    return summary["totals"]["up"]["received"], summary["totals"]["down"]["received"]


@test
def link_layers(scene):
    for link in (ETHERNET, NULL, RAW, LOOP, SLL, SLL2):
        for ends in ((DEVICE, CLOUD), (DEVICE6, CLOUD6)):
            frames = [framed(link, packet) for packet in talk(*ends, 6)]
            path = scene.path(f"link-{link}.pcap")
            path.write_bytes(pcap(link, frames))
            summary, _ = simulate(scene, path)
            check_equal(received(summary), (3, 3), f"link type {link}, {ends[0][0]}")


def tunnelled(protocol, header, packet):
    """Returns an IPv4 packet that carries header and packet."""
    inside = header + packet
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(inside), 0, 0, 64, protocol, 0, bytes((203, 0, 113, 1)),
                       bytes((203, 0, 113, 2))) + inside


def gtp(packet, flags=0x30, more=b""):
    header = struct.pack("!BBHI", flags, 255, len(more) + len(packet), 7) + more
    return struct.pack("!HHHH", 2152, 2152, 8 + len(header) + len(packet), 0) + header + packet


@test
def link_layers_of_modems_and_firewalls(scene):
    """The tunnels of their networks are read, too."""
    pppoe = struct.pack("!BBHH", 0x11, 0, 7, 0)
    wireless = bytes([0x88, 1, 0, 0]) + bytes(18) + bytes(2) + bytes(2) + bytes.fromhex("aaaa030000000800")
    frames = {
        "ppp": (9, lambda p: b"\x00\x21" + p), "ppp with address": (9, lambda p: b"\xff\x03\x00\x21" + p),
        "ppp with a short protocol": (9, lambda p: b"\x21" + p), "hdlc": (50, lambda p: b"\xff\x03\x00\x21" + p),
        "cisco hdlc": (50, lambda p: b"\x0f\x00\x08\x00" + p), "ppp ether": (51, lambda p: pppoe + b"\x00\x21" + p),
        "ppp with direction": (204, lambda p: b"\x01\xff\x03\x00\x21" + p),
        "pppoe": (ETHERNET, lambda p: bytes(12) + b"\x88\x64" + pppoe + b"\x00\x21" + p),
        "vlan 9100": (ETHERNET, lambda p: bytes(12) + bytes.fromhex("9100000181000002") + b"\x08\x00" + p),
        "nflog": (239, lambda p: b"\x02\0\0\0" + struct.pack("<HHI", 8, 1, 0) + struct.pack("<HH", 4 + len(p), 9) + p),
        "pktap": (258, lambda p: struct.pack("<III", 20, 1, 12) + bytes(8) + p),
        "802.11": (105, lambda p: wireless + p), "radiotap": (127, lambda p: struct.pack("<BBHI", 0, 0, 8, 0) + wireless + p),
        "ip in ip": (RAW, lambda p: tunnelled(4, b"", p)), "gre": (RAW, lambda p: tunnelled(47, b"\x20\x00\x08\x00\0\0\0\1", p)),
        "gtp-u": (RAW, lambda p: tunnelled(17, b"", gtp(p))),
        "gtp-u with an extension": (RAW, lambda p: tunnelled(17, b"", gtp(p, 0x34, b"\0\0\0\x85" + b"\1\0\0\0"))),
    }
    for name, (link, frame) in frames.items():
        path = scene.path("modem.pcap")
        path.write_bytes(pcap(link, [frame(packet) for packet in talk(DEVICE, CLOUD, 6)]))
        summary, _ = simulate(scene, path)
        check_equal(received(summary), (3, 3), name)
        check_equal([one["device"] for one in summary["sessions"]], [f"{DEVICE[0]}:{DEVICE[1]}"], name)


@test
def an_address_like_ours_makes_no_capture_ours(scene):
    """Two hosts of a lab have the MAC addresses of our device and proxy; none of their datagrams counts as lost."""
    macs = bytes([2, 0, 0, 0, 0, 2]) + bytes([2, 0, 0, 0, 0, 1])
    frames = [(macs if i % 2 == 0 else macs[6:] + macs[:6]) + framed(ETHERNET, packet)[12:]
              for i, packet in enumerate(talk(DEVICE, CLOUD, 20))]
    path = scene.path("lab.pcap")
    path.write_bytes(pcap(ETHERNET, frames))
    done = deadzone("report", path, "--json")
    check_equal(done.returncode, 0, done.stderr)
    totals = json.loads(done.stdout)["totals"]
    for way in ("up", "down"):
        check_equal((totals[way]["received"], totals[way]["sent"], totals[way]["dropped"]), (10, 10, {}), way)


@test
def a_classic_capture_of_ours_has_each_datagram_once(scene):
    """The capture holds both sides of the proxy."""
    proxy = scene.proxy("[capture]\nformat = pcap\n[link default]\nlatency = 1ms\n", upstream=scene.cloud())
    devices = [scene.device(proxy) for _ in range(3)]
    for device in devices:
        device.ask(b"the same of all")
    for i in range(6):
        for k, device in enumerate(devices):
            device.ask(b"%d of %d" % (i, k))
    proxy.stop()
    summary, _ = simulate(scene, proxy.capture, "[link default]\nlatency = 1ms\n")
    check_equal(received(summary), (21, 21))
    check_equal(sorted(one["device"] for one in summary["sessions"]),
                sorted(one["device"] for one in proxy.summary["sessions"]))
    check_equal([(one["up"]["received"], one["down"]["received"]) for one in summary["sessions"]], [(7, 7)] * 3)


@test
def vlan_tags_and_extension_headers(scene):
    frames = [framed(ETHERNET, packet, vlans=(5, 7)) for packet in talk(DEVICE, CLOUD, 4)]
    hop = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    frames.append(framed(ETHERNET, ip(DEVICE6, CLOUD6, b"behind", extension=hop)))
    path = scene.path("tags.pcap")
    path.write_bytes(pcap(ETHERNET, frames))
    summary, _ = simulate(scene, path)
    check_equal(received(summary), (3, 2))


@test
def who_is_refused_stands_in_the_capture_both_ways(scene):
    path, out = scene.path("strangers.pcap"), scene.path("refused.pcapng")
    path.write_bytes(pcap(ETHERNET, [framed(ETHERNET, packet) for packet in talk(DEVICE, CLOUD, 4)]))
    summary, _ = simulate(scene, path, "[proxy]\nallow = 192.0.2.200\n", "-w", out)
    check_equal(received(summary), (2, 2))
    check_equal((summary["totals"]["up"]["dropped"], summary["totals"]["down"]["dropped"]), ({"not-allowed": 2},) * 2)
    packets = arrivals(read_capture(out))
    check_equal([(packet.source, packet.fields["reason"]) for packet in packets], [(DEVICE, "not-allowed"), (CLOUD, "not-allowed")] * 2)


@test
def fragments_and_noise_are_passed_over_and_told(scene):
    fragment = bytearray(ip(DEVICE, CLOUD, b"part"))
    fragment[6:8] = b"\x20\x00"
    tcp = bytearray(ip(DEVICE, CLOUD, b"tcp"))
    tcp[9] = 6
    frames = [framed(ETHERNET, bytes(packet)) for packet in (fragment, tcp, ip(DEVICE, CLOUD, b"whole"))] + [b"\xff" * 9]
    path = scene.path("noise.pcap")
    path.write_bytes(pcap(ETHERNET, frames))
    summary, told = simulate(scene, path)
    check_equal(received(summary), (1, 0))
    check("passed over: 1 TCP, 1 fragments of datagrams that are not whole, 1 other packets" in told, told)


@test
def the_first_client_hello_names_the_cloud(scene):
    hello = bytes.fromhex("16fefd0000000000000000003a010000" "2e00000000000000" "2efefd") + bytes(43)
    cloud = ("198.51.100.9", 7777)
    path = scene.path("hello.pcap")
    packets = [ip(DEVICE, cloud, hello), ip(cloud, DEVICE, b"answer"), ip(("10.0.0.1", 1), ("10.0.0.2", 2), b"else")]
    path.write_bytes(pcap(ETHERNET, [framed(ETHERNET, packet) for packet in packets]))
    summary, told = simulate(scene, path)
    check_equal(received(summary), (1, 1))
    check("the receiver of the first ClientHello" in told, told)


@test
def device_and_cloud_by_name(scene):
    other = ("192.0.2.8", 40000)
    cloud = ("198.51.100.9", 7777)
    packets = talk(DEVICE, cloud, 4) + talk(other, cloud, 6)
    path = scene.path("two.pcap")
    path.write_bytes(pcap(ETHERNET, [framed(ETHERNET, packet) for packet in packets]))
    for words, want in ((("--device", "192.0.2.7"), (2, 2)), (("--device", "192.0.2.8:40000"), (3, 3)),
                        (("--cloud", "198.51.100.9:7777"), (5, 5)), (("--device", "192.0.2.0/24"), (5, 5))):
        summary, _ = simulate(scene, path, "", *words)
        check_equal(received(summary), want, str(words))
    _, told = simulate(scene, path, status=2)
    check("name the cloud with --cloud" in told, told)


@test
def broken_files(scene):
    path = scene.path("cut.pcap")
    path.write_bytes(pcap(ETHERNET, [framed(ETHERNET, packet) for packet in talk(DEVICE, CLOUD, 4)])[:-3])
    summary, told = simulate(scene, path)
    check_equal(received(summary), (2, 1))
    check("ends in the middle" in told, told)
    for name, content in (("empty.pcap", b""), ("text.pcap", b"this is no capture at all"), ("short.pcapng", b"\x0a\x0d\x0d\x0a\x1c")):
        path = scene.path(name)
        path.write_bytes(content)
        simulate(scene, path, status=2)


BUSY = """
[link default]
latency = 20ms
jitter = 15ms
distribution = normal
correlation = 50%
loss = 20%
loss_run = 2
duplicate = 10%
corrupt = 10%
reorder = 10%

[rule noted]
nth = every 7
do = note

[rule chance]
probability = 20%
do = delay 5ms
do = corrupt 2

[rule twice]
direction = up
nth = 3,9,15
do = duplicate 2 3ms
"""


@test
def equals_the_live_run(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(BUSY, upstream=cloud)
    devices = [scene.device(proxy) for _ in range(3)]
    for number in range(60):
        for device in devices:
            device.send(b"datagram %d" % number)
    proxy.when_received(180)
    proxy.stop()
    live = [packet.comment for packet in arrivals(read_capture(proxy.capture))]
    out = scene.path("simulated.pcapng")
    simulate(scene, proxy.capture, BUSY, "-w", out)  # the seed comes from the capture
    again = [packet.comment for packet in arrivals(read_capture(out))]
    check_equal(len(again), len(live))
    for one, other in zip(live, again):
        check_equal(other, one)


@test
def stamps_never_step_back(scene):
    frames = [framed(ETHERNET, packet) for packet in talk(DEVICE, CLOUD, 400)]
    path = scene.path("many.pcap")
    path.write_bytes(pcap(ETHERNET, frames, step=0.0007))
    out = scene.path("out.pcapng")
    simulate(scene, path, BUSY, "-w", out)
    stamps = [packet.time for packet in read_capture(out)]
    check(len(stamps) > 600, f"{len(stamps)} packets")
    check(all(a <= b for a, b in zip(stamps, stamps[1:])), "the timestamps step back")


KINDS = """
[rule unified]
dtls = unified
do = note
[rule cid]
dtls = cid
do = note
[rule hello]
dtls = client_hello
do = note
[rule plain]
dtls = none
do = note
"""


@test
def dtls_1_3_with_connection_ids(scene):
    """In a recorded session of wolfSSL, all records after the hellos are unified and have an ID, both ways."""
    summary, _ = simulate(scene, TOP / "test/data/dtls13-cid-cert-wolfssl.pcapng", KINDS)
    matched = {name: rule["matched"] for name, rule in summary["rules"].items()}
    check_equal(sum(received(summary)), 20)
    check_equal((matched["hello"], matched["plain"]), (2, 0))  # the second answers a HelloRetryRequest
    check(matched["unified"] >= 16 and matched["cid"] == matched["unified"], str(matched))
    check_equal(summary["sessions"][0]["handshakes"], 1)


@test
def expectations_give_exit_status_3(scene):
    path = scene.path("one.pcap")
    path.write_bytes(pcap(ETHERNET, [framed(ETHERNET, packet) for packet in talk(DEVICE, CLOUD, 2)]))
    ini = "[rule never]\nsize = 9000-\ndo = drop\nexpect = 1-\n"
    done = deadzone("simulate", "-c", scene.path("e.ini", ini), "-r", path)
    check_equal(done.returncode, 3)
    check("rule never: expected at least 1 firing, got 0" in done.stderr, done.stderr)


run_all()
