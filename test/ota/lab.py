# SPDX-License-Identifier: BSD-2-Clause
"""lab: runs one emulated cloud, one deadzone and one emulated device, and collects the outcome.

The ini files in scenarios/ have real times. For a run N times faster than real time they are rewritten: times are
divided by N, rates multiplied, and both programs get --time-scale N; sizes, shares and counts stay. deadzone's own
defaults are not scaled (`hold`, reorder_wait: 1 s), so the scenarios do not use them.

Their head comments say what is run and what must hold:

    ; run NAME: size=BYTES [device="WORDS"] [cloud="WORDS"] [zone="WORDS"]
    ; want: exit=0 KEY=N KEY=N-M KEY=N- trace="TEXT" trace.no="TEXT" ...

exit is the device's exit status, cloud the cloud's; KEY is a figure of the device's last line, cloud.KEY one of the
cloud's; fired.RULE and zone.KEY (sessions, handshakes, rebinds, or a reason for drops) are deadzone's counts; trace is
text in the device's log, and trace.no text that is not.
"""
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = TOP / "build" / "ota"
SCENARIOS = TOP / "test" / "ota" / "scenarios"
SCALE = 20
MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000, "h": 3600000}
READY_SECONDS = 10
SETTLE_SECONDS = 0.3  # for datagrams still on their way when the device has left


def scaled(text, scale):
    """Returns the ini text of the same network, `scale` times faster."""
    def faster(match):
        number, unit = float(match[1]), match[2]
        if unit in MILLISECONDS:
            return f"{round(number * MILLISECONDS[unit] * 1000 / scale)}us"
        return f"{number * scale:g}{unit}"

    def line(one):
        if one.startswith((";", "[")) or "=" not in one:
            return one
        key, value = one.split("=", 1)
        return key + "=" + re.sub(r"\b(\d+(?:\.\d+)?)(us|ms|s|m|h|bit|kbit|Mbit)\b", faster, value)

    return "\n".join(line(one) for one in text.splitlines()) + "\n"


class Case:
    """One run of a scenario, as described by its head comment."""

    def __init__(self, scenario, name, words):
        self.scenario, self.wants = scenario, []
        self.name = scenario.stem if name == scenario.stem else f"{scenario.stem}.{name}"
        given = dict(word.split("=", 1) for word in shlex.split(words))
        self.size = int(given["size"])
        self.device, self.cloud = shlex.split(given.get("device", "")), shlex.split(given.get("cloud", ""))
        self.zone = shlex.split(given.get("zone", ""))


def read_cases(path):
    cases = []
    for line in path.read_text().splitlines():
        run, want = re.match(r"; run ([\w-]+): *(.*)", line), re.match(r"; want: (.*)", line)
        if run:
            cases.append(Case(path, run[1], run[2]))
        if want:
            cases[-1].wants += [word.split("=", 1) for word in shlex.split(want[1])]
    return cases


def all_cases():
    return [case for path in sorted(SCENARIOS.glob("*.ini")) for case in read_cases(path)]


def figures(log):
    """Returns the last line's KEY=VALUE words."""
    last = log.splitlines()[-1] if log.strip() else ""
    return dict(word.split("=", 1) for word in shlex.split(last) if "=" in word)


def image(size):
    path = BUILD / f"image-{size}.bin"
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}-{random.random()}")
        fresh.write_bytes(random.Random(size).randbytes(size))
        fresh.rename(path)
    return path


class Outcome:
    """The results of a run: exit statuses, logs, figures, the capture's path."""

    def __init__(self, folder):
        self.folder, self.capture = folder, folder / "run.pcapng"
        self.device_exit = self.cloud_exit = self.zone_exit = None
        self.device = self.cloud = self.trace = ""
        self.zone, self.seconds = {}, 0.0

    def get(self, key):
        part, _, rest = key.partition(".")
        if key in ("exit", "cloud"):
            return str(self.device_exit if key == "exit" else self.cloud_exit)
        if part == "cloud":
            return self.cloud.get(rest)
        if part == "fired":
            return str(self.zone["rules"][rest]["fired"])
        if part == "zone":
            return str(self._zone(rest))
        return self.device.get(key)

    def _zone(self, key):
        sessions = self.zone["sessions"]
        if key == "sessions":
            return len(sessions)
        if key in ("handshakes", "rebinds"):
            return sum(one[key] for one in sessions)
        return sum(self.zone["totals"][way]["dropped"].get(key, 0) for way in ("up", "down"))

    def failures(self, wants):
        """Returns a line for each want that is not met."""
        lines = [] if self.zone_exit == 0 else [f"deadzone's exit status is {self.zone_exit}"]
        for key, want in wants:
            if key.startswith("trace"):
                if (want in self.trace) != (key == "trace"):
                    lines.append(f"{key} {want!r} does not hold")
                continue
            got = self.get(key)
            if got is None or not meets(got, want):
                lines.append(f"{key}: want {want}, got {got}")
        return lines


def meets(got, want):
    span = re.fullmatch(r"(\d+)-(\d*)", want)
    if not span:
        return got == want
    return int(span[1]) <= int(got) and (not span[2] or int(got) <= int(span[2]))


def wait_for_line(path, pattern, child):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        found = re.search(pattern, path.read_text())
        if found:
            return found
        if child.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError(f"{path.name}: no line {pattern!r}: {path.read_text()[-500:]}")


def start(words, output, errors=subprocess.STDOUT):
    with open(output, "w") as file:
        return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=file, stderr=errors)


def stop(child, number):
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return child.returncode


def require_programs():
    for path in (TOP / "build" / "deadzone", BUILD / "ota-device", BUILD / "ota-cloud"):
        if not path.exists():
            sys.exit(f"{path} is missing: make, then make -f test/ota/Makefile")


def run(case, scale=SCALE, folder=None, patience=1800):
    """Runs a case to its end. `patience` is in the device's seconds."""
    folder = folder or BUILD / case.name
    folder.mkdir(parents=True, exist_ok=True)
    ini = folder / "proxy.ini"
    ini.write_text(scaled(case.scenario.read_text(), scale))
    outcome, children, began = Outcome(folder), [], time.monotonic()
    speed = ["--time-scale", scale]
    try:
        cloud = start([BUILD / "ota-cloud", *speed, *case.cloud, image(case.size)], folder / "cloud.log")
        children.append(cloud)
        ready = wait_for_line(folder / "cloud.log", r"ready port=(\d+) sha256=(\w+)", cloud)
        zone = start([TOP / "build" / "deadzone", "run", "-c", ini, "-w", outcome.capture, "--json",
                      folder / "zone.json", "--set", "[proxy] listen = 127.0.0.1:0",
                      "--set", f"[proxy] upstream = 127.0.0.1:{ready[1]}", *case.zone], folder / "zone.log")
        children.append(zone)
        port = wait_for_line(folder / "zone.log", r"ready listen=127\.0\.0\.1:(\d+)", zone)[1]
        device = start([BUILD / "ota-device", *speed, *case.device, "--sha256", ready[2], "127.0.0.1", port],
                       folder / "device.log")
        children.append(device)
        outcome.device_exit = device.wait(patience / scale)
        time.sleep(SETTLE_SECONDS)
        outcome.cloud_exit = stop(cloud, signal.SIGTERM)
        outcome.zone_exit = stop(zone, signal.SIGINT)
    finally:
        for child in children:
            stop(child, signal.SIGKILL)
    outcome.trace = (folder / "device.log").read_text()
    outcome.device, outcome.cloud = figures(outcome.trace), figures((folder / "cloud.log").read_text())
    outcome.zone = json.loads((folder / "zone.json").read_text())
    outcome.seconds = time.monotonic() - began
    return outcome
