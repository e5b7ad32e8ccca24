#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the Nth allocation of a command fail, for every 7th N (--all: for every N). Prints TAP.

Wherever it fails, an offline command says so and exits with 1, or works as usual; a run at its start says so and
exits with 1, and once it relays it drops as `overload` and goes on. Nothing crashes, leaks (AddressSanitizer), damages
a file, or exits with 0 and other output.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BINARY = TOP / "build/oom/deadzone"
CAPTURE = TOP / "test/data/dtls12-cid-mbedtls.pcapng"
INI = HERE / "oom.ini"
CAMPAIGN = HERE / "campaign.ini"
STEP = 1 if "--all" in sys.argv else 7
AT_A_TIME = 2
BOUND = 60  # seconds for one command
DATAGRAMS = 1000
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|Assertion .* failed")


class Wrong(Exception):
    pass


def environment(**more):
    return dict(os.environ, ASAN_OPTIONS="exitcode=99:abort_on_error=0", UBSAN_OPTIONS="halt_on_error=1:exitcode=99",
                TZ="UTC", **more)


def whole_blocks(path):
    """Returns whether a pcapng file ends with a whole block."""
    bytes_, at = path.read_bytes(), 0
    while at < len(bytes_):
        size = struct.unpack_from("<I", bytes_, at + 4)[0] if len(bytes_) - at >= 12 else 0
        if size < 12 or at + size > len(bytes_) or bytes_[at + size - 4:at + size] != bytes_[at + 4:at + 8]:
            return False
        at += size
    return at > 0


class Offline:
    """A command that ends by itself. `outputs` are the files that it writes."""

    def __init__(self, name, *words, outputs=()):
        self.name, self.words, self.outputs = name, words, outputs

    def once(self, folder, **more):
        words = [str(word).replace("@", str(folder)) for word in self.words]
        done = subprocess.run([BINARY, *words], env=environment(**more), capture_output=True, timeout=BOUND,
                              stdin=subprocess.DEVNULL)
        files = [folder / name for name in self.outputs]
        return done, [file.read_bytes() if file.exists() else None for file in files], files

    def prepare(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.good, self.files, _ = self.once(folder, OOM_COUNT=str(folder / "count"))
            return int((folder / "count").read_text())

    def check(self, at):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            done, files, paths = self.once(folder, OOM_AT=str(at))
            said = done.stderr.decode(errors="replace")
            if SANITIZER.search(said) or done.returncode not in (self.good.returncode, 1):
                raise Wrong(f"exit status {done.returncode}: {said}")
            if done.returncode == 1 != self.good.returncode and "memory" not in said:
                raise Wrong(f"it does not mention memory: {said}")
            if done.returncode == self.good.returncode and (done.stdout, files) != (self.good.stdout, self.files):
                raise Wrong("it exited as if all were well, with other output")
            for path, good in zip(paths, self.files):
                if not path.exists() or path.read_bytes() == good:
                    continue
                if path.suffix == ".json":
                    json.loads(path.read_text())  # it may count what the capture has lost
                elif path.suffix != ".pcapng" or not whole_blocks(path):
                    raise Wrong(f"{path.name} is damaged")
            if len(list(folder.iterdir())) > len([path for path in paths if path.exists()]):
                raise Wrong(f"it leaves {[path.name for path in folder.iterdir()]} behind")


class Run:
    """The start of a run, and datagrams from several devices, each with a socket of its own."""

    def __init__(self):
        self.name = "run"

    def once(self, folder, **more):
        cloud = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        cloud.bind(("127.0.0.1", 0))
        summary = folder / "summary.json"
        process = subprocess.Popen(
            [BINARY, "run", "-q", "-c", INI, "-w", folder / "capture.pcapng", "--json", summary, "--set",
             "[proxy] listen = 127.0.0.1:0", "--set", f"[proxy] upstream = 127.0.0.1:{cloud.getsockname()[1]}"],
            env=environment(**more), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        said, went_on = b"", True
        bound = threading.Timer(BOUND, process.kill)  # also if it never says that it is ready
        bound.start()
        with cloud:
            while b" ready " not in said and (line := process.stderr.readline()):
                said += line
            ready = re.search(rb"ready listen=127\.0\.0\.1:(\d+) ", said)
            if ready:
                self.send(int(ready[1]), cloud)
                went_on = process.poll() is None
                process.send_signal(signal.SIGTERM)
            said += process.stderr.read()
            process.wait(BOUND)
        bound.cancel()
        process.stderr.close()
        said = said.decode(errors="replace")
        if not went_on:
            raise Wrong(f"it ended while it relayed, with exit status {process.returncode}: {said}")
        return process.returncode, said, bool(ready), summary, folder / "capture.pcapng"

    @staticmethod
    def send(port, cloud):
        """Sends the datagrams; the cloud sends some of them back."""
        cloud.setblocking(False)
        devices = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(10)]
        for number in range(DATAGRAMS):
            devices[number % 10].sendto(b"\x16\xfe\xfd" + bytes(9 + number % 100), ("127.0.0.1", port))
            if number % 10 == 9:
                time.sleep(0.0005)  # a pace, so that the kernel drops none
                try:
                    bytes_, source = cloud.recvfrom(2000)
                    cloud.sendto(bytes_, source)
                except BlockingIOError:
                    pass
        for device in devices:
            device.close()

    def prepare(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            status, said, ready, *_ = self.once(folder, OOM_COUNT=str(folder / "count"))
            if status or not ready:
                raise Wrong(f"without a failure it ends with {status}: {said}")
            return int((folder / "count").read_text())

    def check(self, at):
        with tempfile.TemporaryDirectory() as name:
            status, said, _, summary, capture = self.once(pathlib.Path(name), OOM_AT=str(at))
            if SANITIZER.search(said) or status not in (0, 1):
                raise Wrong(f"exit status {status}: {said}")
            if status == 1 and "memory" not in said and "cannot" not in said:
                raise Wrong(f"it does not mention memory: {said}")
            if status == 0:
                total = json.loads(summary.read_text())["totals"]
                for way in total["up"], total["down"]:
                    if way["received"] + way["copies"] != way["sent"] + sum(way["dropped"].values()) + way["queued"]:
                        raise Wrong(f"the accounts do not balance: {way}")
            if capture.exists() and not whole_blocks(capture):
                raise Wrong("the capture is damaged")


def campaigns(folder):
    """Writes two files like the ones that campaigns leave."""
    paths = [folder / "old.json", folder / "new.json"]
    for path, outcome in zip(paths, ("pass", "fail")):
        cases = [{"id": f"m/all/{seed}", "outcome": outcome if seed < 9 else "pass", "measures": {"energy": seed * 1.5}}
                 for seed in range(1, 13)]
        search = {"name": "outage", "cell": "all", "worse": "more", "runs": 20, "text": "30 s", "unit_base": 1e9,
                  "quantiles": [30 + i / 100 for i in range(200)]}
        sweep = {"name": "lost", "cell": "all", "faults": [{"id": f"w/lost/all/up-{i}-drop", "outcome": outcome} for i in range(9)]}
        path.write_text(json.dumps({"cases": cases, "searches": [search], "sweeps": [sweep],
                                    "measures": [{"name": "energy", "better": "less"}]}))
    return paths


def scenarios(annotated):
    return [
        Offline("check", "check", INI),
        Offline("simulate", "simulate", "-q", "-c", INI, "-r", CAPTURE, "-w", "@/out.pcapng", "--json", "@/out.json",
                outputs=("out.pcapng", "out.json")),
        Offline("report", "report", annotated),
        Offline("report --json", "report", "--json", annotated),
        Offline("report --html", "report", "--html", "@/page.html", annotated, outputs=("page.html",)),
        Offline("check, campaign", "check", CAMPAIGN),
        Offline("campaign --list", "campaign", "-q", "-c", CAMPAIGN, "--list"),
        Offline("campaign --compare", "campaign", "-q", "--compare", *campaigns(annotated.parent), "--json", "@/out.json",
                outputs=("out.json",)),
        Offline("replay-rules", "replay-rules", annotated, "-o", "@/rules.ini", outputs=("rules.ini",)),
        Run(),
    ]


def first_failures(scenario, pool):
    """Returns how many allocations of a scenario were tried, and its first few failures."""
    try:
        count = scenario.prepare()
    except Wrong as wrong:
        return 0, [str(wrong)]

    def look(at):
        try:
            scenario.check(at)
        except (Wrong, ValueError, subprocess.TimeoutExpired) as wrong:
            return f"allocation {at} of {count}: {wrong}"
        return None

    tried = range(1, count + 1, STEP)
    return len(tried), [words for words in pool.map(look, tried) if words][:3]


def main():
    with tempfile.TemporaryDirectory() as name, concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        annotated = pathlib.Path(name) / "annotated.pcapng"
        subprocess.run([BINARY, "simulate", "-q", "-c", INI, "-r", CAPTURE, "-w", annotated], env=environment(),
                       check=True)
        wanted = [s for s in scenarios(annotated) if not sys.argv[-1].startswith("=") or s.name == sys.argv[-1][1:]]
        if not wanted:
            sys.exit(f"there is no scenario `{sys.argv[-1][1:]}`")
        print(f"1..{len(wanted)}", flush=True)
        failed = False
        for number, scenario in enumerate(wanted, 1):
            began = time.monotonic()
            tried, wrong = first_failures(scenario, pool)
            failed |= bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {number} - {scenario.name}, {tried} allocations "
                  f"({time.monotonic() - began:.1f} s)", flush=True)
            for words in wrong:
                for line in words.splitlines()[:30]:
                    print(f"# {line}")
    return failed


sys.exit(main())
