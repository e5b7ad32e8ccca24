#!/usr/bin/python3
"""`deadzone replay-rules`: the recorded decisions again, from rules alone; and the fewest that make a test fail."""

import sys

import harness as h
from harness import check, check_equal, test

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
[rule more]
direction = up
nth = 40
do = inject 0102ff
"""


def recorded(scene, ini=MIXED, rounds=80):
    """A run's capture."""
    cloud = scene.cloud()
    proxy = scene.proxy(ini, upstream=cloud)
    device = scene.device(proxy)
    for i in range(rounds):
        device.send(b"datagram %02d" % i)
    proxy.when_received(rounds)
    proxy.summary_when(lambda s: not s["totals"]["up"]["queued"] + s["totals"]["down"]["queued"], "all to leave")
    proxy.stop()
    return proxy.capture


def fates(path):
    """What became of each datagram: (session, way, n) to (dropped, done to its bytes, delay in ms), and the copies."""
    packets, dropped, done, delays, copies = h.read_capture(path), set(), {}, {}, {}
    for packet in h.arrivals(packets):
        if packet.fields["verdict"] == "drop":
            dropped.add(packet.key)
        if "did" in packet.fields:
            done[packet.key] = [deed.split(".")[0] for deed in packet.fields["did"].split(",")]
    for packet in packets:
        if packet.arrival or not packet.fields:
            continue
        if "unsent" in packet.words:
            dropped.add(packet.key)
        elif "copy" in packet.fields:
            copies[packet.key] = copies.get(packet.key, 0) + 1
        elif packet.sent:
            delays[packet.key] = h.milliseconds(packet.fields["delay"])
    return dropped, done, delays, copies


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
    check(all(before), "a run of everything")
    check_equal(after[0], before[0], "dropped")
    check_equal(after[1], before[1], "what was done to their bytes")
    check_equal(after[3], before[3], "copies")
    wrong = [(key, before[2][key], after[2].get(key)) for key in before[2]
             if abs(after[2].get(key, -1) - round(before[2][key])) > 0.001]
    check_equal(wrong, [], "delays, to the millisecond")
    exact = h.deadzone("replay-rules", capture, "-o", rules, "--step", "0")
    check_equal(exact.returncode, 0, exact.stderr)
    h.deadzone("simulate", "-q", "-c", rules, "-r", capture, "-w", again)
    delays = fates(again)[2]
    wrong = [key for key, delay in before[2].items() if abs(delays.get(key, -1) - delay) > 0.001]
    check_equal(wrong, [], "delays, to the microsecond")


@test
def a_rebinding_is_pinned_too(scene):
    ini = "[rule shift]\ndirection = up\nnth = 5\ndo = rebind\n"
    capture = recorded(scene, ini, 10)
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


# A test that fails where the fifth datagram up and the ninth down are lost together.
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
