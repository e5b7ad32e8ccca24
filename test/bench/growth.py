# SPDX-License-Identifier: BSD-2-Clause
"""Measures how time and memory grow: each job runs with N and with 2N of something that a user can have many of.

Time is the CPU time of the program (for the API: what the requests cost it), the median of a few turns; N and 2N take
turns. A row is held if 2N takes at most 2.3 times as long as N, and at most the seconds that the row allows.
"""

import contextlib
import http.client
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile

import rig

TURNS = 7
WANTED = 2.3
LEAST = 0.02  # seconds: less is only the start of a process
LABEL = "{} {:,} and {:,}"


# ---- Inputs of many sections or packets ----


def many(count, line):
    return "".join(line.format(i=i, size=i % 60_000, ip=f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") for i in range(count))


CONFIGS = {
    "rules": (50_000, "[rule r{i}]\nsize = {size}\nsince = first\ndo = drop\n"),
    "links": (50_000, "[link l{i}]\nlatency = 5ms\nloss = 1%\n"),
    "devices": (50_000, "[device d{i}]\naddress = {ip}\n"),
    "sections with like": (50_000, "[link k{i}]\nlike = l\n"),
    "errors": (50_000, "nonsense {i}\n"),
}


def config_file(folder, kind, count):
    path = folder / f"{kind.split()[0]}-{count}.ini"
    path.write_text("[link l]\nlatency = 1ms\n[rule first]\nnth = 1\ndo = note\n" + many(count, CONFIGS[kind][1]))
    return path


def includes(folder, count):
    for i in range(count):
        (folder / f"part{i}.ini").write_text(f"[link part{i}]\nlatency = 1ms\n")
    path = folder / f"includes-{count}.ini"
    path.write_text("[proxy]\n" + many(count, "include = part{i}.ini\n"))
    return path


def packet(flow):
    """Returns an IPv4 packet from one device to its cloud: 100 bytes that are DTLS application data."""
    data = bytes.fromhex("17fefd00010000000000010057") + bytes(87)
    udp = struct.pack(">HHHH", 1024 + flow % 50000, 5684, 8 + len(data), 0) + data
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, struct.pack(">I", 0x0A000001 + flow),
                       bytes((192, 0, 2, 1))) + udp


def recording(path, flows, datagrams, apart_us=10):
    """Writes a classic pcap file in which the flows take turns."""
    packets = [packet(flow) for flow in range(flows)]
    size = struct.pack("<II", len(packets[0]), len(packets[0]))
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for i in range(datagrams):
            at = i * apart_us
            out.write(struct.pack("<II", 1_700_000_000 + at // 1_000_000, at % 1_000_000) + size + packets[i % flows])
    return path


# ---- Measuring ----


class Cost:
    def __init__(self, seconds, resident):
        self.seconds, self.resident = seconds, resident


def cost(*words, status=0):
    """Runs a command; returns its CPU seconds and its greatest memory."""
    child = subprocess.Popen([rig.BUILD / "deadzone", *map(str, words)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, preexec_fn=rig.pin())
    _, ended, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(ended)
    if child.returncode != status:
        raise RuntimeError(f"{words}: exit status {child.returncode}, not {status}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def grow(what, count, job, most, memory=None):
    """Measures `job` at N = `count` and at 2N, which may take at most `most` seconds and `memory` bytes."""
    turns = [(job(count), job(2 * count)) for _ in range(TURNS)]
    one, two = (statistics.median(max(cost.seconds, LEAST) for cost in side) for side in zip(*turns))
    ratios = [max(b.seconds, LEAST) / max(a.seconds, LEAST) for a, b in turns]
    resident = max(b.resident for _, b in turns)
    ratio = statistics.median(ratios)
    held = ratio <= WANTED and two <= most and (memory is None or resident <= memory)
    print(f"{LABEL.format(what, count, 2 * count):60} {one:8.2f} s {two:8.2f} s  {ratio:5.2f} times (at most {WANTED}),"
          f" at most {most:g} s, {resident / 2**20:6.0f} MiB"
          f"{'' if memory is None else f' (at most {memory / 2**20:.0f})'}  {'held' if held else 'MISSED'}", flush=True)


def config():
    with tempfile.TemporaryDirectory(dir=rig.MEMORY) as name:
        folder = pathlib.Path(name)
        for kind, (count, _) in CONFIGS.items():
            files = {n: config_file(folder, kind, n) for n in (count, 2 * count)}
            grow(f"check: {kind}", count, lambda n: cost("check", files[n], status=2 if kind == "errors" else 0), 1)
        files = {n: includes(folder, n) for n in (450, 900)}
        grow("check: includes", 450, lambda n: cost("check", files[n]), 1)


SIMULATIONS = {  # a count, its flows and datagrams, the link's keys, and the most seconds
    "flows": (50_000, lambda n: (n, 2 * n), "latency = 20ms\n", 5),
    "datagrams": (500_000, lambda n: (100, n), "latency = 20ms\n", 5),
    "datagrams that wait": (500_000, lambda n: (100, n), "latency = 1h\n", 5),
}


def simulation():
    with tempfile.TemporaryDirectory(dir=rig.MEMORY) as name:
        folder = pathlib.Path(name)
        for kind, (count, shape, link, most) in SIMULATIONS.items():
            ini = folder / "simulate.ini"
            ini.write_text(f"[proxy]\nmax_sessions = 1000000\nmax_queued = 8GiB\n[link default]\n{link}")
            files = {n: recording(folder / f"{n}.pcap", *shape(n)) for n in (count, 2 * count)}
            grow(f"simulate: {kind}", count, lambda n: cost(
                "simulate", "-q", "-c", ini, "-r", files[n], "-w", "/dev/null"), most)


REPORTS = {  # a count; its flows, datagrams and microseconds between them; rules; the most memory
    "sessions": (50_000, lambda n: (n, 2 * n, 10), "", None),
    "datagrams": (500_000, lambda n: (100, n, 10), "", 200 << 20),
    "events": (30_000, lambda n: (1, 2, n * 5000), "[rule dark]\nevery = 10ms\ndo = blackout 1ms\n", 200 << 20),
}


def report():
    with tempfile.TemporaryDirectory(dir=rig.MEMORY) as name:
        folder = pathlib.Path(name)
        for kind, (count, shape, rules, memory) in REPORTS.items():
            ini, files = folder / "report.ini", {}
            ini.write_text(f"[proxy]\nmax_sessions = 1000000\n[link default]\nlatency = 1ms\n{rules}")
            for n in (count, 2 * count):
                files[n] = folder / f"{n}.pcapng"
                cost("simulate", "-q", "-c", ini, "-r", recording(folder / "made.pcap", *shape(n)), "-w", files[n])
            for form, words in (("text", ()), ("JSON", ("--json",)), ("page", ("--html", folder / "page.html"))):
                grow(f"report: {kind}, {form}", count, lambda n: cost("report", files[n], *words), 5,
                     memory if form != "page" else None)
            for path in files.values():
                path.unlink()


def running_cost(pid):
    """Returns the CPU seconds of its threads."""
    return sum(int(task.read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def ask(port, path):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return body


def api():
    control = rig.free_port()
    proxies = {}
    with contextlib.ExitStack() as stack:
        for n in (5_000, 10_000):
            proxies[n] = rig.Proxy(ini=f"max_sessions = 20000\n---\n[control]\nlisten = 127.0.0.1:{control + n // 5000}\n")
            stack.callback(proxies[n].stop)
            rig.load(proxies[n], devices=n, seconds=0.2)

        def job(n, path):
            before = running_cost(proxies[n].process.pid)
            for _ in range(3):
                ask(control + n // 5000, path)
            return Cost((running_cost(proxies[n].process.pid) - before) / 3, proxies[n].resident())

        for path in ("/api/v1/sessions?limit=10000", "/api/v1/summary", "/metrics"):
            grow(f"GET {path}: sessions", 5_000, lambda n: job(n, path), 0.6)


ROWS = {"growth-config": config, "growth-simulate": simulation, "growth-report": report, "growth-api": api}
