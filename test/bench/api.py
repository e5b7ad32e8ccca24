#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures how the API affects a quiet session: its lateness, alone and beside clients that poll, stall or flood.

One device sends 200 datagrams a second over a link of 5 ms, the proxy on one core and all else on the other. Runs take
turns, alone and beside each kind of client, so that a drift of the machine's speed affects all. Prints the medians of
the p50 of lateness and their ratios to the runs alone, which should be at most 1.2.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
ROUNDS, SECONDS, PAUSE = 5, 4.0, 0.005
KINDS = ("alone", "poll", "stall", "flood")
WANTED = 1.2


def start(folder):
    ini = folder / "bench.ini"
    ini.write_text("[proxy]\nlisten = 127.0.0.1:0\nupstream = 127.0.0.1:9\n[control]\nlisten = 127.0.0.1:0\n[link default]\nlatency = 5ms\n")
    words = [str(TOP / "build/deadzone"), "run", "-q", "-c", str(ini), "--json", str(folder / "sum.json")]
    proxy = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    control = int(re.search(r":(\d+)$", proxy.stderr.readline())[1])
    device = int(re.search(r"listen=\S+?:(\d+) ", proxy.stderr.readline())[1])
    return proxy, control, device


def get(connection, path):
    connection.request("GET", path)
    connection.getresponse().read()


def poll(port, stop):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while not stop.wait(0.2):
        get(connection, "/api/v1/summary")
        get(connection, "/metrics")


def stall(port, stop):
    held = []
    while not stop.wait(0.05):
        if len(held) < 60:
            held.append(socket.create_connection(("127.0.0.1", port)))
            held[-1].sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"\r\n" * (len(held) % 2))
    for one in held:
        one.close()


def flood(port, stop):
    def one():
        while not stop.is_set():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                for _ in range(20):
                    get(connection, "/api/v1/summary")
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run(kind):
    """Returns the p50 of lateness in us, and how many datagrams were sent."""
    with tempfile.TemporaryDirectory() as name:
        folder, stop = pathlib.Path(name), threading.Event()
        proxy, control, port = start(folder)
        client = threading.Thread(target={"poll": poll, "stall": stall, "flood": flood}.get(kind, lambda *_: None), args=(control, stop))
        device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        device.connect(("127.0.0.1", port))
        client.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            device.send(bytes(100))
            time.sleep(PAUSE)
        stop.set()
        client.join()
        proxy.send_signal(signal.SIGINT)
        proxy.wait(timeout=60)
        summary = json.loads((folder / "sum.json").read_text())
        return summary["lateness_us"]["p50"], summary["totals"]["up"]["sent"]


def main():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            found[kind].append(run(kind)[0])
    alone = statistics.median(found["alone"])
    print(f"lateness of a quiet session beside clients of the API, {ROUNDS} rounds of {SECONDS:.0f} s each")
    for kind in KINDS:
        ratios = [mine / max(1, other) for mine, other in zip(found[kind], found["alone"])]
        ratio = statistics.median(ratios)
        held = "" if kind == "alone" else "  held" if ratio <= WANTED else f"  missed (at most {WANTED} is wanted)"
        noisy = "  (noisy: the runs alone differ by more than half)" if max(found["alone"]) > 1.5 * min(found["alone"]) else ""
        print(f"  {kind:6} p50 {statistics.median(found[kind]):6.0f} us   ratio {ratio:5.2f}{held}{noisy if kind == 'alone' else ''}")
    return 0 if alone else 1


if __name__ == "__main__":
    sys.exit(main())
