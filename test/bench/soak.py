#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs for minutes with everything on: memory must stay flat, and the accounts balance. Prints what was lost.

500 devices behind a gateway (interception by nftables, in network namespaces of its own) send to their cloud at half the
rate that one core carries. Meanwhile the ini file is reloaded, the capture rotated, every kind of request sent to the API, and
sessions are rebound, moved between links and blacked out.

    python3 test/bench/soak.py [MINUTES]
"""

import itertools
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import threading
import time

import bench
from rig import MEMORY, Network, Proxy, figures, load, load_words, pin
from sockets import HttpOverUnix  # from test/e2e, which rig adds to the path

STEP = 5.0        # seconds between two readings of memory
PAUSE = 0.5       # seconds between two disturbances of the run
GROWTH = 1 << 20  # bytes that the last third may have above the second, for the allocator's own growth
DEVICES = 500
INI = """max_sessions = 2000
idle_timeout = 30s
max_queued = 1GiB
---
[gateway]
interface = wlan0
[link default]
latency = 20ms
jitter = 5ms
loss = 1%
duplicate = 1%
[link slow]
latency = 60ms
rate = 400kbit
queue = 50p
[device any]
nat_timeout = 10s
[rule first]
nth = 1
do = delay 1ms
[rule often]
nth = every 100
do = hold 1
[rule dark]
every = 20s
do = blackout 200ms hold
[capture]
rotate_size = 64MiB
keep = 3
[control]
listen = unix:@CONTROL
"""


def ask(path, method, route, body=None):
    """Sends one request over the run's Unix socket; returns the answer's status and body."""
    api = HttpOverUnix(str(path))
    try:
        api.request(method, route, body=json.dumps(body) if body else None, headers={"Content-Type": "application/json"})
        answer = api.getresponse()
        return answer.status, answer.read()
    finally:
        api.close()


class Disturbance(threading.Thread):
    """Disturbs the run in one way after the other, again and again."""

    def __init__(self, proxy, control, ini):
        super().__init__(daemon=True)
        self.proxy, self.control, self.ini = proxy, control, ini
        self.over, self.done, self.failed = threading.Event(), {}, []

    def api(self, method, route, body=None):
        status, answer = ask(self.control, method, route, body)
        if status >= 300:
            raise RuntimeError(f"{method} {route} {body}: {status} {answer[:200]!r}")
        return answer

    def reload(self):
        text = self.ini.read_text()
        self.ini.write_text(text.replace("loss = 1%", "loss = 2%") if "loss = 1%" in text else text.replace("loss = 2%", "loss = 1%"))
        self.proxy.process.send_signal(signal.SIGHUP)

    def summary(self):
        """The accounts must balance at every moment."""
        summary = json.loads(self.api("GET", "/api/v1/summary"))
        check_accounts(summary)

    def run(self):
        ways = {
            "reload": self.reload,
            "rotate": lambda: self.api("POST", "/api/v1/capture/rotate"),
            "summary": self.summary,
            "sessions": lambda: self.api("GET", "/api/v1/sessions"),
            "metrics": lambda: self.api("GET", "/metrics"),
            "history": lambda: self.api("GET", "/api/v1/history"),
            "page": lambda: self.api("GET", "/"),
            "rebind": lambda: self.api("POST", "/api/v1/do", {"do": "rebind"}),
            "slow": lambda: self.api("POST", "/api/v1/do", {"do": "link slow"}),
            "fast": lambda: self.api("POST", "/api/v1/do", {"do": "link default"}),
            "blackout": lambda: self.api("POST", "/api/v1/do", {"do": "blackout 100ms"}),
            "set": lambda: self.api("PATCH", "/api/v1/links/slow", {"up.loss": "3%"}),
            "disable": lambda: self.api("PATCH", "/api/v1/rules/often", {"enabled": False}),
            "enable": lambda: self.api("PATCH", "/api/v1/rules/often", {"enabled": True}),
            "mark": lambda: self.api("POST", "/api/v1/mark", {"text": "soak"}),
            "signal": lambda: self.proxy.process.send_signal(signal.SIGUSR1),
        }
        for name, disturb in itertools.cycle(ways.items()):
            if self.over.wait(PAUSE):
                return
            try:
                disturb()
                self.done[name] = self.done.get(name, 0) + 1
            except Exception as error:  # the first few are printed at the end
                self.failed.append(f"{name}: {error}")


def check_accounts(summary):
    for way in ("up", "down"):
        a = summary["totals"][way]
        if a["received"] + a["copies"] != a["sent"] + sum(a["dropped"].values()) + a["queued"]:
            raise RuntimeError(f"the accounts do not balance: {a}")


def start(network, control):
    return Proxy(ini=INI.replace("@CONTROL", str(control)), capture=True, network=network)


def watch(proxy, load_process):
    """Returns the memory in bytes, read every STEP seconds until the load has ended."""
    memory = []
    while load_process.poll() is None:
        memory.append(proxy.resident())
        if len(memory) % 12 == 1:
            print(f"  {len(memory) * STEP - STEP:5.0f} s  {memory[-1] / 1e6:7.2f} MB", flush=True)
        time.sleep(STEP)
    return memory


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    rate = float(os.environ.get("RATE", 0))
    with_network = Network(intercepts=True)
    try:
        return soak(with_network, minutes, rate)
    finally:
        with_network.close()


def soak(network, minutes, rate):
    control = pathlib.Path(MEMORY) / f"deadzone-soak-{os.getpid()}"
    if not rate:
        one = start(network, control)
        got = load(one, devices=DEVICES, window=8192, seconds=3)
        one.stop()
        rate = got["paid"] / got["seconds"] / 2
    one = start(network, control)
    words = load_words(one, devices=DEVICES, rate=int(rate), cold=True, seconds=minutes * 60)
    print(f"{rate:.0f} datagrams a second for {minutes:g} minutes", flush=True)
    disturbance = Disturbance(one, control, pathlib.Path(one.folder.name) / "bench.ini")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True,
                          preexec_fn=pin(bench.CORES[-1], network.device)) as loading:
        disturbance.start()
        memory = watch(one, loading)
        sent = figures(loading.stdout.read())["sent"]
    disturbance.over.set()
    disturbance.join(60)
    captures = sorted(pathlib.Path(one.folder.name).glob("*.pcapng"))
    report = subprocess.run([one.process.args[0], "report", "--json", captures[-1]], stdout=subprocess.PIPE, check=False)
    summary = one.stop()
    return judge(memory, sent, summary, disturbance, report.returncode, len(captures))


def judge(memory, sent, summary, disturbance, report_status, captures):
    third = len(memory) // 3
    growth = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
    up = summary["totals"]["up"]
    print(f"received {up['received']} of {sent:.0f} sent; kernel drops {summary['kernel_drops']},"
          f" capture lost {summary['capture']['lost']}; the last third has {growth / 1024:.0f} KiB more than the second")
    print("done: " + ", ".join(f"{name} {count}" for name, count in disturbance.done.items()))
    missed = disturbance.failed[:5]
    if growth > GROWTH:
        missed.append("memory grows")
    if report_status or not 1 <= captures <= 4:
        missed.append(f"{captures} captures, and `report` ended with {report_status}")
    try:
        check_accounts(summary)
    except RuntimeError as error:
        missed.append(str(error))
    for what in missed:
        print(f"MISSED: {what}")
    if not missed:
        print("held: memory is flat, and the accounts balance")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
