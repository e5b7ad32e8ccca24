#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The story: why a 45 KB update dies on a network on which one of 9 KB passes.

It takes thirteen runs: {9 KB, 45 KB} on a clean network, on a rural one with a NAT that rebinds, there again with each
of three cures (a keepAlive that is restored after reconnecting, connection IDs, the new protocol), all with one ini
file and one seed, and with a NAT that only forgets its mappings. Prints a table and what the capture of the failed
45 KB run shows; the captures stay in build/story/. The exit status is 1 if a run does not end as expected.

    python3 test/ota/story.py [--scale N] [--full-speed]

Times are the device's at any speed. --full-speed runs both sizes with the NAT that rebinds once more in real time
(about three minutes).
"""
import argparse
import concurrent.futures
import re
import subprocess
import sys

import lab

STORY = lab.TOP / "build" / "story"
ROWS = [("clean.old-9k", "9 KB, clean"), ("clean.old-45k", "45 KB, clean"),
        ("story.9k", "9 KB, rural 2G, NAT rebinds"), ("story.45k", "45 KB, rural 2G, NAT rebinds"),
        ("story.9k-keepalive", "9 KB, the same, keepAlive"), ("story.45k-keepalive", "45 KB, the same, keepAlive"),
        ("story.9k-cid", "9 KB, the same, connection ID"), ("story.45k-cid", "45 KB, the same, connection ID"),
        ("story.9k-v3", "9 KB, the same, new protocol"), ("story.45k-v3", "45 KB, the same, new protocol"),
        ("story-nat.9k", "9 KB, rural 2G, NAT of 12 s"), ("story-nat.45k", "45 KB, rural 2G, NAT of 12 s"),
        ("story-nat.45k-v3", "45 KB, the same, new protocol")]
FAILING = "story.45k"
CHUNK = 557
CHUNK_MISSED = range(38, 137)  # 36 + 2 for each of up to 50 chunks
MOST_EVENTS = 20


class Packet:
    """One line of the capture: time in the device's seconds, bytes of UDP payload, comment or event text."""

    def __init__(self, fields, scale):
        seconds, size, self.comment, self.text = fields
        self.seconds = float(seconds) * scale
        self.size = int(size) - 8 if size else 0
        self.way = "up" if " dir=up " in self.comment else "down"
        self.session = int(found[1]) if (found := re.match(r"s=(\d+)", self.comment)) else 0

    def has(self, *words):
        return all(word in self.comment for word in words)


def packets(capture, scale):
    fields = ["frame.time_relative", "udp.length", "frame.comment", "syslog.msg"]
    words = ["tshark", "-r", str(capture), "-T", "fields"]
    for field in fields:
        words += ["-e", field]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return [Packet(line.split("\t"), scale) for line in lines]


def sent_again(outcome, case):
    chunks = (case.size + 511) // 512
    return int(outcome.device["retransmissions"]) + int(outcome.cloud["retransmissions"]) + \
        max(0, int(outcome.cloud["chunks"]) - chunks)


def table(outcomes, cases):
    print(f"{'':32}{'outcome':24}{'time':>7}{'datagrams':>11}{'sent again':>12}{'handshakes':>12}{'rebindings':>12}")
    for name, title in ROWS:
        outcome = outcomes[name]
        totals = outcome.zone["totals"]
        result = "applied" if outcome.device_exit == 0 else f"died: {outcome.device['step']}"
        datagrams = totals["up"]["received"] + totals["down"]["received"]
        print(f"{title:32}{result:24}{float(outcome.device['seconds']):6.0f}s{datagrams:11}"
              f"{sent_again(outcome, cases[name]):12}{outcome.get('zone.handshakes'):>12}"
              f"{outcome.get('zone.rebinds'):>12}")


def explain(outcome, scale):
    """Prints what the capture shows about why the update dies."""
    lines = []
    all_packets = packets(outcome.capture, scale)
    arrived = [one for one in all_packets if one.has("verdict=") and one.session == 1]
    chunks = [one for one in arrived if one.way == "down" and one.size == CHUNK]
    for number, one in enumerate(chunks):
        if one.has("verdict=drop"):
            lines.append((one.seconds, f"chunk {number} is lost on the radio ({fate(one)})"))
    for one in arrived:
        if one.way == "up" and one.size == 34:
            lines.append((one.seconds, "the device answers UpdateDone: chunks are missing (34 bytes, 4.00)"))
        if one.way == "down" and one.has("reason=nat-expired"):
            lines.append((one.seconds, f"the cloud sends UpdateDone again, to the old port: {fate(one)}"))
    asks = [one for one in arrived if one.way == "up" and one.size in CHUNK_MISSED and one.has("application_data")
            and chunks and one.seconds > chunks[-1].seconds]
    for number, one in enumerate(asks, 1):
        lines.append((one.seconds, f"ChunkMissed, {one.size} bytes, send {number} of {len(asks)}: passes, and nothing "
                                   "comes back"))
    for one in all_packets:
        if "nat-rebound" in one.text:
            lines.append((one.seconds, f"the NAT has given the device another port ({one.text.split('deadzone: ')[-1]}); "
                                       "the cloud ignores records from there"))
    again = [one for one in all_packets if one.session == 2 and one.has("verdict=")]
    if again:
        lines.append((again[0].seconds, "the device has given up and wiped its session: ClientHello, a full handshake"))
    for seconds, line in sorted(lines)[:MOST_EVENTS]:
        print(f"  {seconds:6.1f} s  {line}")


def fate(packet):
    return " ".join(word for word in packet.comment.split() if word.split("=")[0] in ("n", "by", "reason"))


def run(case, scale, folder):
    outcome = lab.run(case, scale, folder)
    return case.name, outcome, outcome.failures(case.wants)


def print_failures(results):
    good = True
    for name, _, failures in results:
        for line in failures:
            print(f"{name}: {line}")
            good = False
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=lab.SCALE)
    parser.add_argument("--full-speed", action="store_true")
    words = parser.parse_args()
    lab.require_programs()
    cases = {case.name: case for case in lab.all_cases()}
    with concurrent.futures.ThreadPoolExecutor(len(ROWS)) as pool:
        results = list(pool.map(lambda row: run(cases[row[0]], words.scale, STORY / row[0]), ROWS))
        outcomes = {name: outcome for name, outcome, _ in results}
        table(outcomes, cases)
        print(f"\nWhere the 45 KB die ({outcomes[FAILING].capture.relative_to(lab.TOP)}):")
        explain(outcomes[FAILING], words.scale)
        good = print_failures(results)
        if words.full_speed:
            print("\nAt full speed:")
            middle = ROWS[2:4]
            results = list(pool.map(lambda row: run(cases[row[0]], 1, STORY / f"{row[0]}.full-speed"), middle))
            for name, outcome, _ in results:
                print(f"  {name}: {outcome.device['result']} after {outcome.device['seconds']} s")
            good = print_failures(results) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
