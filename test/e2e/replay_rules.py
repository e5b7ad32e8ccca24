#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`deadzone replay-rules`: rules repeat the recorded decisions; shrinking finds the fewest that make a test fail."""

import json
import random
import signal
import struct
import sys

import harness as h
from harness import check, check_equal, test
from summaries import differences

MIXED = """
[link default]
latency = 4ms
jitter = 2ms
loss = 10%
duplicate = 10%
corrupt = 5%
[rule dark]
direction = down
nth = 20
do = blackout 10ms
[rule cut]
direction = up
nth = 33
do = truncate 4
[rule set]
direction = up
nth = 35
do = set 0 200
"""


def recorded(scene, ini=MIXED, rounds=80, paced=False):
    """Returns a run's capture. If `paced`, each datagram is sent once the one before has been echoed."""
    cloud = scene.cloud()
    proxy = scene.proxy(ini, upstream=cloud)
    device = scene.device(proxy)
    for i in range(rounds):
        (device.ask if paced else device.send)(b"datagram %02d" % i)
    proxy.when_received(rounds)
    proxy.when_echoed()
    proxy.stop()
    return proxy.capture


def fates(path):
    """Returns fates by (session, way, n): which were dropped, the bytes that left, delays in ms, the copies' bytes."""
    packets, dropped, left, delays, copies = h.read_capture(path), set(), {}, {}, {}
    for packet in h.arrivals(packets):
        if packet.fields["verdict"] == "drop":
            dropped.add(packet.key)
    for packet in packets:
        if packet.arrival or not packet.fields:
            continue
        if "unsent" in packet.words:
            dropped.add(packet.key)
        elif "copy" in packet.fields:
            copies[packet.key] = sorted([*copies.get(packet.key, []), packet.payload])
        elif packet.sent:
            left[packet.key] = packet.payload
            delays[packet.key] = h.milliseconds(packet.fields["delay"])
    return dropped, left, delays, copies


@test
def the_same_datagrams_meet_the_same_fate(scene):
    capture = recorded(scene)
    rules, again = scene.path("pins.ini"), scene.path("again.pcapng")
    done = h.deadzone("replay-rules", capture, "-o", rules)
    check_equal(done.returncode, 0, done.stderr)
    check_equal(h.deadzone("check", rules).stderr, "", "the rules pass the check")
    done = h.deadzone("simulate", "-q", "-c", rules, "-r", capture, "-w", again)
    check_equal(done.returncode, 0, done.stderr)
    before, after = fates(capture), fates(again)
    check(all(before), "each kind of fate occurs")
    check_equal(after[0], before[0], "dropped")
    check_equal(after[1], before[1], "the bytes that left")
    check_equal(after[3], before[3], "copies")
    wrong = [(key, before[2][key], after[2].get(key)) for key in before[2] if abs(after[2].get(key, -9) - before[2][key]) > 1]
    check_equal(wrong, [], "delays, to the millisecond")
    exact = h.deadzone("replay-rules", capture, "-o", rules, "--step", "0")
    check_equal(exact.returncode, 0, exact.stderr)
    h.deadzone("simulate", "-q", "-c", rules, "-r", capture, "-w", again)
    delays = fates(again)[2]
    wrong = [key for key, delay in before[2].items() if abs(delays.get(key, -1) - delay) > 0.0025]
    check_equal(wrong, [], "delays, to the microsecond")


@test
def a_rebinding_is_pinned_too(scene):
    ini = "[rule shift]\ndirection = up\nnth = 5\ndo = rebind\n"
    capture = recorded(scene, ini, 10, paced=True)
    rules = scene.path("pins.ini")
    check_equal(h.deadzone("replay-rules", capture, "-o", rules).returncode, 0)
    cloud = scene.cloud()
    proxy = scene.proxy(rules.read_text(), upstream=cloud)
    device = scene.device(proxy)
    for i in range(10):
        device.ask(b"datagram %02d" % i)
    ports = [address[1] for _, address, _, _ in cloud.received]
    check_equal([port == ports[0] for port in ports], [True] * 4 + [False] * 6)
    proxy.stop()


# Each text is a run of its own: report must count it like the run, and pinned rules must repeat it.
ALONE = [
    "[rule a]\nnth = every 7\ndo = " + action + "\n[link other]\nlatency = 9ms\nloss = 20%\n[link default]\nlatency = 3ms\n"
    for action in ("drop", "delay 5ms", "delay 1ms-90ms", "hold 2", "hold 2 either", "duplicate", "duplicate 3 4ms", "corrupt 5",
                   "corrupt 30", "corrupt 3 at 4", "set 0 200", "truncate 4", "replay 2", "permute 3 1 2", "blackout 100ms",
                   "blackout 300ms up hold", "blackout 200ms both hold", "rebind", "link other", "bypass", "note")
] + [
    "[link default]\n" + keys for keys in (
        "latency = 20ms\njitter = 15ms\n", "latency = 50ms\njitter = 40ms\norder = free\nloss = 10%\nduplicate = 30%\n",
        "reorder = 30%\n", "rate = 100kbit\nqueue = 4p\n", "corrupt = 30%\nduplicate = 30%\n", "mtu = 60\n",
        "wake_after = 100ms\nwake_delay = 20ms\n", "loss = 20%\nloss_run = 3\nloss_at = exit\n")
] + [
    "[proxy]\nmax_queued = 700B\n[link default]\nlatency = 100ms\n",
    "[device x]\nnat_timeout = 200ms\n[link default]\nlatency = 30ms\n",
    "[rule a]\nnth = every 5\ndo = duplicate\ndo = set 0 99\n",
    "[rule a]\nnth = every 5\ndo = inject 0102ff\ndo = drop\n",
]


def recorded_traffic(path):
    """Writes a pcap of two devices and their cloud on port 5684: 240 small datagrams at uneven intervals."""
    chance, at = random.Random(5), 1700000000 * 10**9
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101))
        for number in range(240):
            device, up = chance.choice((1, 2)), number < 2 or chance.random() < 0.5
            data = bytes.fromhex("17fefd0001") + number.to_bytes(6, "big") + b"\x00\x20" + chance.randbytes(32)
            ends = struct.pack(">II", 0xC0000200 + device, 0xC6336401), struct.pack(">HH", 40000 + device, 5684)
            if not up:
                ends = ends[0][4:] + ends[0][:4], ends[1][2:] + ends[1][:2]
            packet = struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(data), number, 0, 64, 17, 0) + ends[0] + ends[1] + \
                struct.pack(">HH", 8 + len(data), 0) + data
            out.write(struct.pack("<IIII", at // 10**9, at % 10**9, len(packet), len(packet)) + packet)
            at += chance.choice((1, 137, 4321, 60000)) * 1000 + 7


@test
def each_alone_is_counted_and_done_again(scene):
    traffic, out, json_file = scene.path("in.pcap"), scene.path("out.pcapng"), scene.path("sum.json")
    rules, again = scene.path("pins.ini"), scene.path("again.pcapng")
    recorded_traffic(traffic)
    for text in ALONE:
        ini = scene.path("one.ini", text)
        done = h.deadzone("simulate", "-q", "--set", "[proxy] seed = 11", "-c", ini, "-r", traffic, "-w", out, "--json", json_file)
        check_equal((done.returncode, done.stderr), (0, ""), text)
        told = json.loads(h.deadzone("report", out, "--json").stdout)
        wrong = list(differences(json.loads(json_file.read_text()), told))
        check_equal(wrong, [], f"report of\n{text}")
        done = h.deadzone("replay-rules", "-q", out, "-o", rules, "--step", "0")
        check_equal((done.returncode, done.stderr), (0, ""), f"replay-rules of\n{text}")
        check_equal(h.deadzone("check", rules).stderr, "", f"rules of\n{text}")
        done = h.deadzone("simulate", "-q", "-c", rules, "-r", traffic, "-w", again)
        check_equal(done.returncode, 0, done.stderr)
        before, after = fates(out), fates(again)
        for what, place in (("dropped", 0), ("the bytes that left", 1), ("the copies", 3)):
            check_equal(after[place], before[place], f"{what} of\n{text}")
        late = {key: (delay, after[2].get(key)) for key, delay in before[2].items() if abs(after[2].get(key, -1) - delay) > 0.005}
        check_equal(late, {}, f"delays of\n{text}")


@test
def a_later_file_goes_on_counting_and_a_name_may_be_anything(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule a]\ndirection = up\nnth = 12\ndo = drop\n", upstream=cloud)
    device = scene.device(proxy)
    device.send(*[b"one"] * 8)
    proxy.when_received(8)
    proxy.signal(signal.SIGUSR2)
    second = proxy.capture.with_name("capture-2.pcapng")
    h.until(lambda: second.exists() and second.stat().st_size, "the second file")
    device.send(*[b"two"] * 8)
    proxy.when_received(16)
    proxy.stop()
    odd = scene.path("x" * 200 + "\n[proxy].pcapng")
    odd.write_bytes(second.read_bytes())
    rules = scene.path("pins.ini")
    check_equal(h.deadzone("replay-rules", odd, "-o", rules).returncode, 0)
    check_equal(h.deadzone("check", rules).stderr, "")
    check("nth = 12\ndo = drop" in rules.read_text(), rules.read_text())
    done = h.deadzone("replay-rules", second, "-o", second)
    check_equal(done.returncode, 2)
    check("cannot be written too" in done.stderr, done.stderr)


# A test that fails if the fifth datagram up and the ninth down are both lost.
PICKY = """
import os, re, subprocess, sys
binary, capture, out = sys.argv[1:4]
done = subprocess.run([binary, "simulate", "-q", "-c", os.environ["DEADZONE_RULES"], "-r", capture, "-w", out])
if done.returncode:
    sys.exit(126)
text = open(out, "rb").read().decode("latin-1")
lost = {(found[1], int(found[2])) for found in re.finditer(r"s=1 dir=(up|down) n=(\\d+) verdict=drop", text)}
sys.exit(1 if {("up", 5), ("down", 9)} <= lost else 0)
"""


@test
def what_is_left_out_is_named(scene):
    ini = "[rule ahead]\ndirection = up\nnth = 3\ndo = decoy\n[rule joint]\ndirection = up\nnth = 5-6\ndo = pack 50ms\n"
    proxy = scene.proxy(ini, upstream=scene.cloud())
    scene.device(proxy).send(*[b"datagram %02d" % i for i in range(10)])
    proxy.when_received(10)
    proxy.summary_when(lambda s: not s["totals"]["up"]["queued"], "all to leave")
    proxy.stop()
    done = h.deadzone("replay-rules", proxy.capture, "-o", scene.path("left.ini"))
    check_equal(done.returncode, 0, done.stderr)
    check("2 decisions cannot be said as rules and are left out:" in done.stderr, done.stderr)
    check("s=1 dir=up n=3: a decoy" in done.stderr and "1 joint datagrams" in done.stderr, done.stderr)


@test
def shrinking_finds_the_datagrams_that_matter(scene):
    ini = "[rule up]\ndirection = up\nnth = 5,11,12,30-40\ndo = drop\n[rule down]\ndirection = down\nnth = 2,9,20-25\ndo = drop\n" \
          "[link default]\nlatency = 3ms\njitter = 2ms\nduplicate = 10%\n"
    capture = recorded(scene, ini)
    rules, script, out = scene.path("pins.ini"), scene.path("picky.py", PICKY), scene.path("out.pcapng")
    command = f"{sys.executable} {script} {h.BINARY} {capture} {out}"
    done = h.deadzone("replay-rules", capture, "-o", rules, "--shrink", command)
    check_equal(done.returncode, 0, done.stderr)
    lines = done.stdout.splitlines()
    check_equal([line.split(" (")[0] for line in lines], ["s=1 dir=up n=5 drop", "s=1 dir=down n=9 drop"])
    check("bytes, none, rule by rule:up)" in lines[0], lines[0])
    check("2 of " in done.stderr and "matter, after" in done.stderr, done.stderr)
    text = rules.read_text()
    check_equal([line for line in text.splitlines() if line.startswith(("nth", "do"))],
                ["nth = 5", "do = drop", "nth = 9", "do = drop"])


@test
def a_test_that_cannot_tell_is_no_guide(scene):
    capture = recorded(scene, "[rule one]\nnth = 1\ndo = drop\n", 3)
    rules = scene.path("pins.ini")
    for command, status, words in (("true", 3, "passes with all"), ("false", 3, "fails with none"), ("exit 127", 1, "broke off"),
                                   ("exit 125", 3, "passes with all")):
        done = h.deadzone("replay-rules", capture, "-o", rules, "--shrink", command)
        check_equal(done.returncode, status, f"{command}: {done.stderr}")
        check(words in done.stderr, done.stderr)
    done = h.deadzone("replay-rules", h.TOP / "test/data/dtls12-cid-mbedtls.pcapng", "-o", rules)
    check_equal(done.returncode, 2)
    check("does not say what became" in done.stderr, done.stderr)
    done = h.deadzone("replay-rules", capture)
    check_equal(done.returncode, 2)
    check("-o FILE.ini" in done.stderr, done.stderr)
    done = h.deadzone("replay-rules", capture, "-o", "-", "--shrink", "true")
    check_equal(done.returncode, 2)


h.run_all()
