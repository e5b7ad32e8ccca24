#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The figures of every shipped profile come out of its link, with recorded traffic, virtual time and a fixed seed."""

import configparser
import json
import math
import re
import struct

import harness as h
from checks import check, check_equal
from packets import CLOUD, DEVICE, ETHERNET, framed, ip, pcap
from shark import ENHANCED, blocks, parse_comment

START = 1_700_000_000
SIZE = 500  # bytes of a datagram; the link counts 28 more for headers
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "bit": 1, "kbit": 1e3, "Mbit": 1e6, "%": 0.01, "p": 1, "": 1}
FOLDER = h.TOP / "rules/profiles"


def number(text):
    figure, unit = re.fullmatch(r"([\d.]+)([A-Za-z%]*)", text).groups()
    return float(figure) * UNITS[unit]


def read_profile(name):
    """Returns its sections, read by another parser than ours, so that neither proves itself."""
    parser = configparser.ConfigParser(comment_prefixes=(";",), interpolation=None)
    parser.read(FOLDER / f"{name}.ini")
    return {section: dict(parser[section]) for section in parser.sections()}


def value(link, way, key, default=0.0):
    text = link.get(f"{way}.{key}", link.get(key))
    return default if text is None else number(text)


def span(link, way, key):
    text = link.get(f"{way}.{key}", link.get(key))
    return [number(part) for part in text.split("-")] if text and text != "next-up" else [0.0, 0.0]


def service(link, way):
    """Returns the seconds that a datagram takes at the bottleneck."""
    rate = value(link, way, "rate")
    return ((SIZE + 28) * 8 / rate if rate else 0) + value(link, way, "packet_time")


class Packet:
    """A packet of a capture. Hundreds of captures are read here, and starting tshark for each would take long."""

    def __init__(self, body):
        interface, high, low, kept = struct.unpack_from("<IIII", body)
        self.time = high << 32 | low
        self.event = body[20 + 42:20 + kept].decode(errors="replace") if interface == 2 else None
        at = 20 + (kept + 3) // 4 * 4
        code, size = struct.unpack_from("<HH", body, at) if at + 4 <= len(body) else (0, 0)
        self.fields, self.words = parse_comment(body[at + 4:at + 4 + size].decode() if code == 1 else "")
        self.sent = "sent" in self.words
        self.key = tuple(self.fields.get(key) for key in ("s", "dir", "n"))


def run(scene, name, times, more=""):
    """Sends datagrams at these (seconds, way) through the profile; returns (arrivals, departures, events)."""
    source, out = scene.path("in.pcap"), scene.path("out.pcapng")
    ends = {"up": (DEVICE, CLOUD), "down": (CLOUD, DEVICE)}
    source.write_bytes(pcap(ETHERNET, [(START + at, framed(ETHERNET, ip(*ends[way], bytes(SIZE)))) for at, way in times]))
    ini = scene.path("profile.ini", f"[proxy]\nseed = 20\ninclude = profile:{name}\nidle_timeout = 9h\n{more}")
    done = h.deadzone("simulate", "-q", "-c", ini, "-r", source, "-w", out)
    check_equal(done.returncode, 0, done.stderr)
    packets = [Packet(body) for kind, body in blocks(out)[0] if kind == ENHANCED]
    return ([packet for packet in packets if "verdict" in packet.fields],
            [packet for packet in packets if packet.fields and "verdict" not in packet.fields],
            [packet.event for packet in packets if packet.event])


def delays(came, left, way):
    at = {packet.key: packet.time for packet in came if packet.fields["dir"] == way}
    return [(packet.time - at[packet.key]) / 1e9 for packet in left if packet.fields["dir"] == way and packet.sent]


def lost_at_exit(left, way):
    return sum(packet.fields["dir"] == way and packet.fields.get("reason") == "loss" for packet in left)


def check_link(scene, name, link):
    """Checks the link itself, with few datagrams at a time."""
    gap = min(value(link, "up", "wake_after", 1e9), value(link, "down", "wake_after", 1e9)) * 0.8
    gap = min(gap, max(2.5 * service(link, "up"), 2.5 * service(link, "down"), 0.05))
    times = [(i * gap, way) for i in range(500) for way in ("up", "down")]
    came, left, _ = run(scene, name, times)
    for way in ("up", "down"):
        latency, jitter, each = value(link, way, "latency"), value(link, way, "jitter"), service(link, way)
        loss = value(link, way, "loss")
        own = [packet for packet in came if packet.fields["dir"] == way]
        lost = lost_at_exit(left, way) + sum(packet.fields.get("reason") == "loss" for packet in own)
        spread = 5 * math.sqrt(len(own) * loss * (1 - loss) * 2 * max(1, value(link, way, "loss_run")))
        check(abs(lost - len(own) * loss) <= spread, f"{name} {way}: {lost} of {len(own)} lost, {loss:.1%} asked for")
        tail = link.get("distribution") == "lognormal"
        seen = delays(came, left, way)[1:]  # the first may have found the radio asleep
        check(len(seen) > 350, f"{name} {way}: {len(seen)} came through")
        check(min(seen) >= max(0, latency - jitter) + each - 1e-6, f"{name} {way}: {min(seen)} s is too early")
        check(tail or max(seen) <= latency + jitter + each + 0.01, f"{name} {way}: {max(seen)} s is too late")
        if not jitter:
            check(max(seen) <= latency + each + 1e-6, f"{name} {way}: {max(seen)} s is too late")
        mean = sum(seen) / len(seen)
        check(latency + each - 1e-5 <= mean + jitter * 0.2 and mean <= latency + each + jitter * 0.6 + 1e-5,
              f"{name} {way}: {mean:.3f} s on average, {latency + each:.3f} asked for")


def check_queue(scene, name, link):
    """Checks rate and queue, with too many datagrams at once."""
    for way in ("up", "down"):
        each, queue = service(link, way), value(link, way, "queue", 1000)
        if not each:
            continue
        count = int(queue) + 50
        came, left, _ = run(scene, name, [(1, way)] * count)
        full = sum(packet.fields.get("reason") == "queue" for packet in came)
        check(count - full - queue in (0, 1), f"{name} {way}: the queue took {count - full}, {queue} asked for")
        last = max(packet.time for packet in left) / 1e9 - START - 1
        waking = span(link, way, "wake_delay")[-1] if value(link, way, "wake_after") else 0
        latency, jitter = value(link, way, "latency"), value(link, way, "jitter")
        waking += 20 * jitter if link.get("distribution") == "lognormal" else 0  # a long tail
        check((count - full) * each + max(0, latency - jitter) - 0.01 <= last <= (count - full) * each + latency + jitter + waking + 0.01,
              f"{name} {way}: the last left after {last:.2f} s, a burst of {count - full} takes {(count - full) * each:.2f} s")


def check_sleep(scene, name, link):
    """Checks that a datagram waits after a silence."""
    for way in ("up", "down"):
        after = value(link, way, "wake_after")
        if not after:
            continue
        other = "down" if way == "up" else "up"
        period = 4 * after + 60
        times = [(0, "up")] + [(period * (i + 1), way) for i in range(24)]
        asleep = link.get(f"{way}.wake_delay", link.get("wake_delay")) == "next-up"
        times += [(period * (i + 1) + 2 * after, "up") for i in range(24)] if asleep else []
        came, left, _ = run(scene, name, sorted(times))
        own = delays(came, left, way)[way == "up":]
        low, high = (2 * after, 2 * after) if asleep else span(link, way, "wake_delay")
        base, jitter = value(link, way, "latency") + service(link, way), value(link, way, "jitter")
        check(len(own) > 14, f"{name} {way}: {len(own)} of 24 came through, {other} was silent")
        for delay in own:
            check(low + base - jitter - 0.01 <= delay <= high + base + jitter + 0.01,
                  f"{name} {way}: {delay:.2f} s after a silence, {low} to {high} and {base:.2f} asked for")


def check_nat(scene, name, device):
    """Checks that a mapping lives as long as configured after the last datagram up, and no longer."""
    timeout = number(device["nat_timeout"])
    stream = number(device.get("nat_timeout_stream", device["nat_timeout"]))
    times, at = [], 0
    for wait in (timeout - 1, stream - 1):
        times += [(at, "up"), (at + wait, "down")]
        at += wait + 5 * stream
    for wait in (timeout + 1,):
        times += [(at, "up"), (at + wait, "down")]
    came, _, told = run(scene, name, times)
    down = [packet.fields.get("reason") for packet in came if packet.fields["dir"] == "down"]
    first = [None, None if stream <= timeout else "nat-expired", "nat-expired"]
    check_equal(down, first, f"{name}: of answers {timeout - 1:.0f}, {stream - 1:.0f} and {timeout + 1:.0f} s later")
    check(any("nat-expired" in line for line in told), told)


def check_rule(scene, name, rule):
    """Checks how long outages are, and how often they come."""
    low, high = [number(part) for part in re.match(r"blackout (\S+)", rule["do"])[1].split("-")] * (2 if "-" not in rule["do"].split()[1] else 1)
    every = [number(part) for part in rule["every"].split("-")] if "every" in rule else None
    life = 40 * every[-1] if every else 4 * high
    times = [(at, "up") for at in range(0, int(life) + 1, 900)] + [(life, "up")]
    _, _, told = run(scene, name, times)
    lengths = [number(match[1]) for match in (re.search(r"blackout-begins (\S+)", line) for line in told) if match]
    check(lengths and all(low - 1e-6 <= length <= high + 1e-6 for length in lengths), f"{name}: outages of {lengths}, {low} to {high} asked for")
    if not every:
        check_equal(len(lengths), 1, name)
        return
    mean = sum(every) / len(every)
    check(0.8 * life / mean <= len(lengths) <= 1.2 * life / mean + 1, f"{name}: {len(lengths)} outages in {life} s, one in {mean} s asked for")
    if high > low:
        check(max(lengths) - min(lengths) > (high - low) / 2, f"{name}: outages must differ: {sorted(lengths)[:3]} …")


def prove(scene, name):
    sections = read_profile(name)
    check(sections, f"{name} has no section")
    for title, keys in sections.items():
        kind = title.split()[0]
        if kind == "link" and not any(other.startswith("rule") for other in sections):
            check_link(scene, name, keys)
            check_sleep(scene, name, keys)
        if kind == "link":
            check_queue(scene, name, keys)
        if kind == "device":
            check_nat(scene, name, keys)
        if kind == "rule":
            check_rule(scene, name, keys)


NAMES = sorted(path.stem for path in FOLDER.glob("*.ini"))


def add(names):
    def proof(scene):
        for name in names:
            prove(scene, name)
    proof.__name__ = "figures_of_" + "_".join(names).replace("-", "_")
    h.test(proof)


for _i in range(0, len(NAMES), 4):
    add(NAMES[_i:_i + 4])


@h.test
def every_figure_has_a_source_and_no_profile_a_note(scene):
    for name in NAMES:
        done = h.deadzone("check", FOLDER / f"{name}.ini")
        check_equal((done.returncode, done.stderr), (0, ""), name)
        above = ""
        for line in (FOLDER / f"{name}.ini").read_text().splitlines():
            if line and line[0] not in ";[":
                check(above, f"{name}: `{line}` has no source and is not marked as a judgement")
            elif line.startswith(";"):
                above = line
            elif not line:
                above = ""


@h.test
def a_profile_is_chosen_by_an_option(scene):
    source = scene.path("one.pcap")
    source.write_bytes(pcap(ETHERNET, [(START, framed(ETHERNET, ip(DEVICE, CLOUD, bytes(SIZE))))]))
    for name in ("lte-cat-1", "thread", "nb-iot-edrx"):
        done = h.deadzone(
            "simulate", "-q", "--set", "[proxy] seed = 1", "--link", f"profile:{name}", "-r", source, "--json", "-")
        link = read_profile(name)["link default"]
        check_equal(done.returncode, 0, done.stderr)
        delay = json.loads(done.stdout)["totals"]["up"]["delay_ms"]["max"] / 1000
        base = value(link, "up", "latency") + service(link, "up")
        check(abs(delay - base) <= value(link, "up", "jitter") + 0.01, f"{name}: {delay}, {base} asked for")


h.run_all()
