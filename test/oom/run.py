#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the Nth allocation of a command fail, for every 7th N (--all: for every N). Prints TAP.

Wherever it fails, an offline command says so and exits with 1, or works as usual; a run at its start says so and
exits with 1, and once it relays it drops as `overload` and goes on, whatever signal, request or second it handles.
Nothing crashes, leaks (AddressSanitizer), damages a file, or exits with 0 and other output.
"""
import contextlib
import concurrent.futures
import http.client
import json
import mmap
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
sys.path.insert(0, str(TOP / "test/e2e"))

from sockets import HttpOverUnix

STEP = 1 if "--all" in sys.argv else 7
AT_A_TIME = 2
BOUND = 60  # seconds for one command
DATAGRAMS = 1000
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|Assertion .* failed")


class Wrong(Exception):
    pass


class Allocations:
    """The numbers that a program shares with its test (fail.c): how many allocations there were, which one fails, and
    whether only those of its first thread are counted."""

    def __init__(self, folder, fail_at=0):
        self.path = folder / "allocations"
        self.path.write_bytes(struct.pack("QQQ", 0, fail_at, False))
        with open(self.path, "r+b") as file:
            self.numbers = mmap.mmap(file.fileno(), 24)

    def count(self):
        return struct.unpack("QQQ", self.numbers)[0]

    def count_first_thread(self):
        struct.pack_into("Q", self.numbers, 16, True)

    def fail_after(self, number):
        """Makes the allocation fail that comes after `number` - 1 further ones. Returns its number."""
        at = self.count() + number
        struct.pack_into("Q", self.numbers, 8, at)
        return at

    def environment(self, leaks=True):
        return dict(os.environ, ASAN_OPTIONS=f"exitcode=99:abort_on_error=0:detect_leaks={leaks:d}",
                    UBSAN_OPTIONS="halt_on_error=1:exitcode=99", TZ="UTC", OOM_FILE=str(self.path))


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

    def once(self, folder, at):
        words = [str(word).replace("@", str(folder)) for word in self.words]
        allocations = Allocations(folder, at)
        done = subprocess.run([BINARY, *words], env=allocations.environment(), capture_output=True, timeout=BOUND,
                              stdin=subprocess.DEVNULL)
        allocations.path.unlink()
        files = [folder / name for name in self.outputs]
        return allocations.count(), done, [file.read_bytes() if file.exists() else None for file in files], files

    def prepare(self):
        with tempfile.TemporaryDirectory() as name:
            count, self.good, self.files, _ = self.once(pathlib.Path(name), 0)
            return count

    def check(self, at):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            _, done, files, paths = self.once(folder, at)
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


class Started:
    """A run in `folder`, with a cloud, which is ready or has ended; `said` is what it wrote so far."""

    def __init__(self, folder, fail_at=0, more=(), leaks=True):
        self.summary, self.capture = folder / "summary.json", folder / "capture.pcapng"
        self.allocations = Allocations(folder, fail_at)
        self.cloud = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.cloud.bind(("127.0.0.1", 0))
        self.process = subprocess.Popen(
            [BINARY, "run", "-q", "-c", INI, "-w", self.capture, "--json", self.summary, "--set",
             "[proxy] listen = 127.0.0.1:0", "--set", f"[proxy] upstream = 127.0.0.1:{self.cloud.getsockname()[1]}",
             *more],
            env=self.allocations.environment(leaks), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.bound = threading.Timer(BOUND, self.process.kill)  # also if it never says that it is ready
        self.bound.start()
        self.said = self.read_until(b" ready ")
        ready = re.search(rb"ready listen=127\.0\.0\.1:(\d+) ", self.said)
        self.port = int(ready[1]) if ready else None

    def read_until(self, words):
        """Returns what it writes, up to the line with `words` or the end."""
        said = b""
        while words not in said and (line := self.process.stderr.readline()):
            said += line
        return said

    def end(self):
        """Ends it, and checks what every run must leave. Returns the exit status and all that it wrote."""
        went_on = not self.port or self.process.poll() is None
        self.process.send_signal(signal.SIGTERM)
        said = (self.said + self.process.stderr.read()).decode(errors="replace")
        status = self.process.wait(BOUND)
        self.bound.cancel()
        self.process.stderr.close()
        self.cloud.close()
        if not went_on:
            raise Wrong(f"it ended while it relayed, with exit status {status}: {said}")
        if SANITIZER.search(said) or status not in (0, 1):
            raise Wrong(f"exit status {status}: {said}")
        if status == 1 and "memory" not in said and "cannot" not in said:
            raise Wrong(f"it does not mention memory: {said}")
        if status == 0:
            total = json.loads(self.summary.read_text())["totals"]
            for way in total["up"], total["down"]:
                if way["received"] + way["copies"] != way["sent"] + sum(way["dropped"].values()) + way["queued"]:
                    raise Wrong(f"the accounts do not balance: {way}")
        if self.capture.exists() and not whole_blocks(self.capture):
            raise Wrong("the capture is damaged")
        return status, said


class Run:
    """The start of a run, and datagrams from several devices, each with a socket of its own."""

    name = "run"

    def once(self, at):
        with tempfile.TemporaryDirectory() as name:
            run = Started(pathlib.Path(name), at)
            if run.port:
                self.send(run.port, run.cloud)
            return run.end(), run.allocations.count()

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
        (status, said), count = self.once(0)
        if status:
            raise Wrong(f"without a failure it ends with {status}: {said}")
        return count

    def check(self, at):
        self.once(at)


class Loop:
    """A run that relays and then does one thing more, in which the allocation fails: nothing ends it. With `least`, only
    the first thread's are counted, and at least so many are tried, of a thing that is done again and again."""

    def __init__(self, name, action, least=0):
        self.name, self.action, self.least = f"run, {name}", action, least

    def once(self, at):
        """Returns how many allocations there were while the action was done. A task that is abandoned leaks
        (base/memory.h)."""
        with tempfile.TemporaryDirectory() as name, contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as device:
            folder = pathlib.Path(name)
            run = Started(folder, more=("--set", f"[control] listen = unix:{folder}/control"), leaks=False)
            try:
                self.pass_datagram(run, device)
                if self.least:
                    run.allocations.count_first_thread()
                before = run.allocations.count()
                fails_at = run.allocations.fail_after(at) if at else before
                self.action(run, folder, fails_at)
                count = run.allocations.count() - before
                self.pass_datagram(run, device)
            finally:
                status, said = run.end()
            if not at and status:
                raise Wrong(f"without a failure it ends with {status}: {said}")
            return count

    @staticmethod
    def pass_datagram(run, device):
        """Sends datagrams until one has reached the cloud: the rules drop some, and some may need memory."""
        run.cloud.settimeout(0.05)
        for _ in range(int(BOUND / 0.05)):
            device.sendto(b"\x16\xfe\xfd" + bytes(50), ("127.0.0.1", run.port))
            with contextlib.suppress(TimeoutError):
                return run.cloud.recv(2000)
            if run.process.poll() is not None:
                break
        raise Wrong("it does not relay any more")

    def prepare(self):
        return max(self.once(0), self.least)

    def check(self, at):
        self.once(at)


def do_second(run, _folder, fails_at):
    """Waits for the allocation that fails, and for the one after it."""
    until = time.monotonic() + BOUND
    while run.allocations.count() <= fails_at and run.process.poll() is None:
        if time.monotonic() > until:
            raise Wrong("what is done each second is not done any more")
        time.sleep(0.01)


def do_signal(number):
    """Sends a signal, waits until it is answered with some line, and until the event loop handles the next thing."""

    def action(run, folder, fails_at):
        run.process.send_signal(number)
        run.said += run.read_until(b"\n")
        do_request("GET", "/api/v1/history")(run, folder, fails_at)

    return action


def do_request(method, path, body=None):
    """Sends a request and returns the answer. Without memory it is refused with 503, or it was carried out and is
    answered with 200 and no body, or the connection ends."""

    def action(_run, folder, _fails_at):
        with contextlib.closing(HttpOverUnix(str(folder / "control"))) as connection:
            try:
                headers = {"Content-Type": "application/json", "Last-Event-ID": "0"}
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                text = answer.read() if not path.endswith("events") else answer.readline()
            except (ConnectionError, http.client.HTTPException):
                return None  # libevent has closed the connection
            if answer.status == 200 and text and "metrics" not in path and "events" not in path:
                return json.loads(text)
            if answer.status not in (200, 202, 408, 503):
                raise Wrong(f"it answers with {answer.status}: {text}")
            return None

    return action


def do_link(*about):
    """Changes a link; the change is made or not, and if not, a later one does not make it."""

    def latency():
        links = do_request("GET", "/api/v1/links")(*about)
        return links and next(link["keys"]["latency"] for link in links["links"] if link["name"] == "other")

    do_request("PATCH", "/api/v1/links/other", '{"latency": "7ms"}')(*about)
    before = latency()
    do_request("PATCH", "/api/v1/links/bad", '{"loss": "1%"}')(*about)
    after = latency()
    if before and after and before != after:
        raise Wrong(f"a change that was refused is made later: {before} became {after}")


def do_all(*actions):
    def action(*about):
        for do in actions:
            do(*about)

    return action


def loops():
    return [
        Loop("each second", do_second, least=9),
        Loop("SIGUSR1", do_signal(signal.SIGUSR1)),
        Loop("SIGHUP", do_signal(signal.SIGHUP)),
        Loop("GET summary", do_request("GET", "/api/v1/summary")),
        Loop("GET sessions", do_request("GET", "/api/v1/sessions")),
        Loop("GET metrics", do_request("GET", "/metrics")),
        Loop("GET events", do_request("GET", "/api/v1/events")),
        Loop("GET wait", do_request("GET", "/api/v1/wait?rule=group&count=1000&timeout=10ms")),
        Loop("POST mark", do_request("POST", "/api/v1/mark", '{"text": "hello"}')),
        Loop("PATCH link", do_link),
        Loop("PATCH rule", do_all(do_request("PATCH", "/api/v1/rules/again", '{"enabled": false}'),
                                  do_request("PATCH", "/api/v1/rules/again", '{"enabled": true}'))),
        Loop("POST do", do_request("POST", "/api/v1/do", '{"do": "blackout 1ms"}')),
    ]


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
        *loops(),
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
        subprocess.run([BINARY, "simulate", "-q", "-c", INI, "-r", CAPTURE, "-w", annotated], check=True)
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
