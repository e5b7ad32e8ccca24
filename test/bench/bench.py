#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Prints a table of what deadzone costs and how well it keeps time, beside the leanest forwarder that we could write.

Every row is a ratio within one run: deadzone and the yardstick (test/bench/forward.c) take turns under the same load
(test/bench/load.c), each on one core and the load on another, and what counts is the median of the turns' ratios. A row
is held or missed only if the middle half of its turns is on one side of the wanted value; otherwise the machine is too
noisy to judge, and the table says so. Run it while nothing else runs.

    python3 test/bench/bench.py [ROW ...]      only rows whose name contains one of ROW
"""

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import growth
from rig import BUILD, CORES, TOP, WAIT, Network, Proxy, figures, free_port, load, load_words, pin, turn

ROUNDS = 5
GREATEST_ROUNDS = 15
LATE_ROUNDS = 11  # the lateness of the latest varies more than the cost of a datagram
NEARLY_ALL, SOME = 0.6, 0.2  # of what the yardstick carries: rates of an open loop, since a lossy link stalls a closed one
WAITING = "[proxy]\nmax_queued = 1GiB\n[link default]\nlatency = 10s\njitter = 1s\norder = free\n"


def pairs(options, ini, forward=(), rounds=ROUNDS, **more):
    """Returns the turns of both under the same load."""
    return [(turn(options, ini=ini, **more), turn(options, forward=forward)) for _ in range(rounds)]


def carried(size):
    """Returns how many datagrams a second from the devices, and as many back, the yardstick carries."""
    turns = [turn({"echo": True, "devices": 100, "size": size}, forward=()) for _ in range(3)]
    return statistics.median(one["paid"] / one["seconds"] for one in turns)


# ---- The table ----

def quartiles(values):
    values = sorted(values)
    return values[len(values) // 4], values[(3 * len(values)) // 4]


def row(name, ours, theirs, ratios, wanted, at_least=False):
    """Prints one line; `ratios` are judged against `wanted`."""
    low, high = quartiles(ratios)
    middle = statistics.median(ratios)
    if at_least:
        verdict = "held" if low >= wanted else "MISSED" if high < wanted else "too noisy to judge"
    else:
        verdict = "held" if high <= wanted else "MISSED" if low > wanted else "too noisy to judge"
    limit = f"{'at least' if at_least else 'at most'} {wanted:g}"
    print(f"{name:52} {ours:>22} {theirs:>22}  {middle:8.3g} ({low:.3g} to {high:.3g})  {limit:14} {verdict}", flush=True)


def cpu(got, legs):
    return got["cpu_ns"] / got["paid"] / legs / 1000


def us(values):
    return f"{statistics.median(values):.2f} us"


def clean_alone():
    """There and back: the datagrams of a lone session are received and sent in runs."""
    turns = pairs({"echo": True, "devices": 1}, "")
    ours, theirs = [cpu(a, 2) for a, _ in turns], [cpu(b, 2) for _, b in turns]
    row("clean link, 1 device: CPU per datagram", us(ours), us(theirs), [a / b for a, b in zip(ours, theirs)], 1.0)


def greatest(name, wanted, devices=100, ini="max_sessions = 20000\n", **more):
    """What a datagram costs the busiest thread at the greatest rate: a closed loop with 128 in flight."""
    turns = pairs({"devices": devices, "window": 128}, ini, rounds=GREATEST_ROUNDS, **more)
    ours, theirs = ([one["busiest_ns"] / one["paid"] / 1000 for one in side] for side in zip(*turns))
    row(f"greatest rate, {name}: CPU per datagram", us(ours), us(theirs), [a / b for a, b in zip(ours, theirs)], wanted)
    lost = sum(a["summary"]["capture"]["lost"] for a, _ in turns if a["summary"]["capture"])
    if lost:
        print(f"    (the capture lost {lost} records in these runs)")


def greatest_rules():
    """The rules match on a kind, a size, chance and time; the link has loss, and a jitter that reorders nothing."""
    rules = "".join(f"[rule a{i}]\ndtls = client_hello\nnth = {i}\ndo = drop\n[rule b{i}]\ndirection = up\nsize = 9{i}\n"
                    f"do = delay 1ms\n[rule c{i}]\nprobability = 0.01%\ndo = drop\n[rule d{i}]\nafter = 1h\n"
                    "do = corrupt\n" for i in range(1, 6))
    greatest("20 rules, jitter, loss, capture", 1.1,
             ini=f"---\n[link default]\nlatency = 0\njitter = 10us\nloss = 0.1%\n{rules}", capture=True)


INTERCEPTS = "max_sessions = 20000\n---\n[gateway]\ninterface = wlan0\n"


def gateway(devices, **load_options):
    """Compares the intercepted path with deadzone's plain one between the same hosts, at a rate or at the greatest, at
    which the load's own core must carry out the table's rules, too."""
    options = {"devices": devices, **(load_options or {"window": 128})}
    at = f"{options['rate'] // 1000} k a second" if "rate" in options else "greatest rate"
    with contextlib.closing(Network(True)) as ours, contextlib.closing(Network(False)) as plain:
        turns = [(turn(options, ini=INTERCEPTS, network=ours), turn(options, ini="max_sessions = 20000\n", network=plain))
                 for _ in range(GREATEST_ROUNDS)]
    ours, theirs = ([one["busiest_ns"] / one["paid"] / 1000 for one in side] for side in zip(*turns))
    row(f"intercepted, {devices:,} devices, {at}{', and back' if 'echo' in options else ''}", us(ours), us(theirs),
        [a / b for a, b in zip(ours, theirs)], 1.15)


def memory_of(ini, network):
    one = Proxy(ini=ini, network=network)
    load(one, devices=1, seconds=0.1)
    before = one.resident()
    load(one, devices=10000, seconds=0.5)
    each = (one.resident() - before) / 10000
    one.stop()
    return each


def gateway_sessions():
    with contextlib.closing(Network(True)) as ours, contextlib.closing(Network(False)) as plain:
        turns = [(memory_of(INTERCEPTS, ours), memory_of("max_sessions = 20000\n", plain)) for _ in range(ROUNDS)]
    ours, theirs = zip(*turns)
    row("10,000 intercepted sessions: bytes each, over plain", f"{statistics.median(ours):.0f} B", f"{statistics.median(theirs):.0f} B",
        [a - b for a, b in turns], 256)


def bursts():
    turns = pairs({"devices": 100, "burst": 16, "window": 128}, "", rounds=GREATEST_ROUNDS)
    ours, theirs = ([one["paid"] / one["seconds"] for one in side] for side in zip(*turns))
    row("bursts of 16, 100 devices: datagrams a second", f"{statistics.median(ours) / 1000:.0f} k",
        f"{statistics.median(theirs) / 1000:.0f} k", [a / b for a, b in zip(ours, theirs)], 5, at_least=True)


def rules(size, wanted):
    """A rate near the greatest is compared with the yardstick. If there is time to sleep between datagrams, any delay
    costs a wake-up of its own, so that the lower rate is compared with the yardstick that delays as long."""
    ini = "max_queued = 1GiB\n---\n" + (TOP / "test/bench/rules.ini").read_text()
    most = carried(size)
    for share, forward, of in ((NEARLY_ALL, (), "the yardstick"), (SOME, (5000, "timer"), "one that delays")):
        rate = round(share * most, -3)
        turns = pairs({"echo": True, "devices": 100, "size": size, "rate": int(rate)}, ini, forward, capture=True)
        ours, theirs = [cpu(a, 2) for a, _ in turns], [cpu(b, 2) for _, b in turns]
        row(f"20 rules, {size} B, {rate / 1000:.0f} k a second, of {of}", us(ours), us(theirs),
            [a / b for a, b in zip(ours, theirs)], wanted)
        lost = sum(a["summary"]["capture"]["lost"] for a, _ in turns)
        if lost:
            print(f"    (the capture lost {lost} records in these runs)")


def core(path):
    return figures(subprocess.run([BUILD / "bench_core", path], stdout=subprocess.PIPE, text=True, check=True,
                                  timeout=WAIT, preexec_fn=pin(CORES[0])).stdout)


def core_alone():
    rates = [core(TOP / "test/bench/rules.ini")["per_second"] / 1e6 for _ in range(ROUNDS)]
    row("the core alone with those rules: million a second", f"{statistics.median(rates):.2f}", "", rates, 2, at_least=True)


def waiting():
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as ini:
        ini.write(WAITING)
        ini.flush()
        turns = [core(ini.name) for _ in range(ROUNDS)]
    for key, what in (("in_ns", "taken in"), ("out_ns", "released")):
        values = [one[key] for one in turns]
        row(f"a million waiting: {what}, ns each", f"{statistics.median(values):.0f}", "", values, 500)
    values = [one["bytes"] for one in turns]
    row("a million waiting: memory beside the bytes, each", f"{statistics.median(values):.0f} B", "", values, 128)


def delays(rate, precise):
    keys = "precise = yes\n" if precise else ""
    ini = f"max_queued = 1GiB\n{keys}---\n[link default]\nlatency = 50ms\n"
    yardstick = (50000, "poll" if precise else "timer")
    turns = pairs({"devices": 10, "rate": rate, "delay": 50000, "seconds": 2}, ini, forward=yardstick, rounds=LATE_ROUNDS)
    name = f"50 ms at {rate} a second{', precise' if precise else ''}"
    least = min(a["us_min"] for a, _ in turns)
    row(f"{name}: earliest, us", f"{least:.1f} us", f"{min(b['us_min'] for _, b in turns):.1f} us", [least], 0, at_least=True)
    floor, factor = (15, 1.4) if precise else (100, 1.25)
    row(f"{name}: p50 late, of its limit", us([a["us_p50"] for a, _ in turns]), us([b["us_p50"] for _, b in turns]),
        [a["us_p50"] / max(floor, factor * b["us_p50"]) for a, b in turns], 1)
    row(f"{name}: p99 late", us([a["us_p99"] for a, _ in turns]), us([b["us_p99"] for _, b in turns]),
        [a["us_p99"] / b["us_p99"] for a, b in turns], 1.25)
    if not precise:
        errors = [a["us_p50"] - a["summary"]["lateness_us"]["p50"] for a, _ in turns]
        row(f"{name}: p50 measured less lateness_us, us", us(errors), "", errors, 25)


def sessions():
    each, opening = [], []
    for _ in range(ROUNDS):
        one = Proxy(ini="max_sessions = 20000\n")
        load(one, devices=1, seconds=0.1)
        before = one.resident()
        got = load(one, devices=10000, seconds=0.5)
        each.append((one.resident() - before) / 10000)
        opening.append((got["open_ns"] - got["cpu_ns"] / got["paid"], got["socket_ns"]))
        one.stop()
    row("10,000 sessions: memory, bytes each", f"{statistics.median(each):.0f} B", "", each, 1024)
    row("opening one, of the kernel's socket and connect", us([a / 1000 for a, _ in opening]),
        us([b / 1000 for _, b in opening]), [a / b for a, b in opening], 2)


def spread(count):
    """Returns CPU per datagram, and datagrams a second, of `count` workers."""
    got = turn({"devices": 200, "burst": 16, "window": 8192, "seconds": 2}, ini=f"offload = no\nworkers = {count}\n", pinned=False)
    return cpu(got, 1), got["paid"] / got["seconds"]


def workers():
    turns = [(spread(2), spread(1)) for _ in range(ROUNDS)]
    rates = [[rate / 1000 for _, rate in side] for side in zip(*turns)]
    ours, theirs = (f"{statistics.median(side):.0f} k" for side in rates)
    if len(CORES) > 2:
        row("2 workers: datagrams a second, of those with 1", ours, theirs, [a / b for a, b in zip(*rates)], 1.7, at_least=True)
        return
    costs = [[one for one, _ in side] for side in zip(*turns)]
    row("2 workers: twice the CPU per datagram of 1, of theirs", us(costs[0]), us(costs[1]),
        [2 * b / a for a, b in zip(*costs)], 1.7, at_least=True)
    print(f"    (estimated for two free cores, as the load needs one; measured: {ours} a second, with 1 {theirs})")


def quiet_beside(flooded):
    """Measures the lateness of one session, alone or while 20,000 new addresses a second send."""
    quiet_cloud = free_port()
    ini = ("max_sessions = 10000\n---\n[device quiet]\naddress = 127.1.0.1\nlink = slow\n"
           f"upstream = 127.0.0.1:{quiet_cloud}\n[link slow]\nlatency = 5ms\n")
    one = Proxy(ini=ini)
    with contextlib.ExitStack() as stack:
        if flooded:
            words = load_words(one, first=65536, devices=100000, rate=20000, cold=True, deaf=True, seconds=5)
            flood = stack.enter_context(subprocess.Popen(words, stdout=subprocess.DEVNULL, preexec_fn=pin(CORES[-1])))
            stack.callback(flood.kill)
        done = subprocess.run(load_words(one, cloud=quiet_cloud, rate=200, delay=5000, seconds=4), stdout=subprocess.PIPE,
                              text=True, check=True, timeout=WAIT, preexec_fn=pin(CORES[-1]))
    return figures(done.stdout), one.stop()


def flood():
    turns = [(quiet_beside(True), quiet_beside(False)) for _ in range(ROUNDS)]
    beside, alone = ([got["us_p50"] for got, _ in side] for side in zip(*turns))
    row("a quiet session beside 100,000 strangers: p50 late", us(beside), us(alone), [a / b for a, b in zip(beside, alone)], 3)
    lost = sum(got["sent"] - got["got"] for (got, _), _ in turns)
    print(f"    (the quiet session lost {lost:.0f} datagrams; sessions in all"
          f" {turns[0][0][1]['totals']['sessions']})")


ROWS = {
    "clean-1": clean_alone, "greatest-100": lambda: greatest("100 devices", 1.0),
    "greatest-10000": lambda: greatest("10,000 devices", 1.0, devices=10000), "greatest-rules": greatest_rules, "bursts": bursts,
    "rules-100": lambda: rules(100, 1.15), "rules-1200": lambda: rules(1200, 1.20), "core": core_alone, "waiting": waiting,
    "delay-1000": lambda: delays(1000, False), "delay-10000": lambda: delays(10000, False),
    "precise-1000": lambda: delays(1000, True), "precise-10000": lambda: delays(10000, True),
    "gateway-100": lambda: gateway(100, rate=100000), "gateway-10000": lambda: gateway(10000),
    "gateway-back": lambda: gateway(100, window=128, echo=True), "gateway-greatest": lambda: gateway(100),
    "gateway-sessions": gateway_sessions, "sessions": sessions, "workers": workers, "flood": flood, **growth.ROWS,
}


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    loaded = os.getloadavg()[0]
    print(f"{model[1] if model else 'a machine'}, {len(CORES)} cores, Linux {os.uname().release}, load {loaded:.1f}"
          + ("; something else is running: take the figures with care" if loaded > 0.5 else ""))


def main():
    wanted = sys.argv[1:]
    began = time.monotonic()
    machine()
    if len(CORES) < 2:
        print("only one core: deadzone and the load would compete for it; nothing can be measured")
        return 1
    print(f"{'what':52} {'deadzone':>22} {'yardstick':>22}  {'median (middle half)':22} {'wanted':14}")
    for name, measure in ROWS.items():
        if not wanted or any(one in name for one in wanted):
            measure()
    print(f"medians of {ROUNDS} turns; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
