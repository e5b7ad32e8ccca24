#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs every scenario in scenarios/ through build/deadzone with the emulated device and cloud, in scaled time and
several at once, and prints TAP. Needs `make` and `make -f test/ota/Makefile`. The files of each run stay in
build/ota/NAME/. In one run the sizes of all datagrams are compared with Particle's.

    python3 test/ota/run.py [--scale N] [NAME ...]     only the runs whose name contains one of NAME
"""
import argparse
import concurrent.futures
import subprocess
import sys
import traceback

import lab

AT_A_TIME = 6  # they mostly wait
SUITE = "0xc0ae"  # TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8: 13 + 8 + 8 bytes around each message
DEVICE = bytes.fromhex("2a003c000f47353334363032")
UP, DOWN = "up", "down"
# test/ota/README.md 1.2, in the order in which the run `sizes` must show them
SIZES = [
    (UP, 58, "HELLO"), (DOWN, 33, "ACK"),
    (DOWN, 49, "UpdateBegin"), (UP, 33, "ACK"), (UP, 36, "UpdateReady"), (DOWN, 33, "ACK"),
    *[(DOWN, 557, "chunk")] * 18,
    (DOWN, 36, "UpdateDone"), (UP, 34, "ACK 4.00"), (UP, 40, "ChunkMissed"), (DOWN, 33, "ACK"),
    *[(DOWN, 557, "chunk")] * 2,
    (UP, 35, "UpdateDone"), (DOWN, 33, "ACK"),
]


def tshark(capture, fields, display):
    """Decodes all traffic as DTLS: the kernel may have chosen a port that tshark knows for another protocol."""
    words = ["tshark", "-r", str(capture), "-d", "udp.port==1-65535,dtls", "-Y", display, "-T", "fields"]
    for field in fields:
        words += ["-e", field]
    return [line.split("\t") for line in
            subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()]


def check_sizes(capture):
    """Returns a line for each deviation from test/ota/README.md 1.2, the suite first."""
    arrived = 'frame.comment contains "verdict="'
    suites = tshark(capture, ["dtls.handshake.ciphersuite"], f"{arrived} and dtls.handshake.type == 2")
    if not suites or any(one[0].lower() not in (SUITE, str(int(SUITE, 16))) for one in suites):
        return [f"the suite is not {SUITE}: {suites}"]
    rows = tshark(capture, ["frame.interface_name", "udp.length"], f"{arrived} and dtls.record.content_type == 23")
    got = [(UP if name == "device" else DOWN, int(length) - 8) for name, length in rows]
    want = [row[:2] for row in SIZES]
    if got == want:
        return []
    place = next((i for i, pair in enumerate(zip(got, want)) if pair[0] != pair[1]), min(len(got), len(want)))
    return [f"datagram {place}: want {SIZES[place:place + 1]}, got {got[place:place + 1]}", f"all: {got}"]


def check_move(capture):
    """Returns a line for each deviation from test/ota/README.md 3.4 in the first record of a resumed session."""
    moved = [bytes.fromhex(row[0].replace(":", "")) for row in
             tshark(capture, ["udp.payload"], 'frame.comment contains "verdict=send" and frame.comment contains '
                                              '"dtls=session_move"')]
    if len(moved) != 1:
        return [f"want one moved record, got {len(moved)}"]
    record, device, size = moved[0][:-13], moved[0][-13:-1], moved[0][-1]
    if len(moved[0]) != 46 or record[:5] != b"\xfe\xfe\xfd\x00\x01" or record[11:13] != b"\x00\x14" or size != 12 or \
            device != DEVICE:
        return [f"the moved record is {moved[0].hex()}"]
    return []


def check_new_chunks(capture):
    """Chunks of 512 bytes must take 552 bytes in the new protocol, and 553 from index 256 on (test/ota/README.md 2)."""
    rows = tshark(capture, ["udp.length"], 'frame.comment contains "verdict=" and dtls.record.content_type == 23 and '
                                           'frame.interface_name == "cloud" and udp.length > 500')
    sizes = {int(row[0]) - 8 for row in rows}
    return [] if sizes == {552, 553} else [f"chunks of the new protocol have {sorted(sizes)} bytes"]


def check_cid_sizes(capture):
    """With a connection ID (test/ota/README.md 3.5) all small messages must have one size, and HELLO another."""
    rows = tshark(capture, ["udp.length"], 'frame.comment contains "verdict=" and frame.comment contains "dtls=cid/" '
                                           'and frame.interface_name == "device"')
    sizes = [int(row[0]) - 8 for row in rows]
    return [] if set(sizes) == {53, 69} and len(sizes) > 5 else [f"records with a connection ID have {sizes} bytes"]


CHECKS = {"story.45k-cid": check_cid_sizes, "sizes": check_sizes, "blackout-95.old": check_move, "handover.v3": check_new_chunks}


def run(case, scale):
    try:
        outcome = lab.run(case, scale)
        failures = outcome.failures(case.wants)
        if case.name in CHECKS:
            failures += CHECKS[case.name](outcome.capture)
    except Exception:  # of any kind: the other scenarios go on
        return None, traceback.format_exc().splitlines()
    return outcome, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=lab.SCALE)
    parser.add_argument("names", nargs="*")
    words = parser.parse_args()
    lab.require_programs()
    cases = [case for case in lab.all_cases() if not words.names or any(name in case.name for name in words.names)]
    print(f"1..{len(cases)}", flush=True)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for number, (case, (outcome, failures)) in enumerate(
                zip(cases, pool.map(lambda one: run(one, words.scale), cases)), 1):
            summary = ""
            if outcome:
                summary = f" ({outcome.device.get('result')} {outcome.device.get('step')}, " \
                          f"{outcome.device.get('seconds')} s in {outcome.seconds:.1f} s)"
            print(f"{'not ' if failures else ''}ok {number} - ota {case.name}{summary}", flush=True)
            bad += bool(failures)
            for line in failures:
                print(f"# {line}", flush=True)
    return 1 if bad or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
