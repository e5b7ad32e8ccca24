# SPDX-License-Identifier: BSD-2-Clause
"""Common parts of the end-to-end tests.

A test is a function with @test that takes a Scene. Through the scene it starts what it needs (the proxy,
clouds, devices, other programs, files); when it returns or fails, all of that is stopped and removed:

    @test
    def echo(scene):
        cloud = scene.cloud()                          # a UDP echo server on a free port
        proxy = scene.proxy(upstream=cloud)            # the real binary, up to its ready lines
        device = scene.device(proxy)                   # a UDP socket connected to its listener
        check_equal(device.ask(b"hello"), b"hello")

run_all() prints TAP. No test just sleeps: every wait is for a condition and has a deadline. Every proxy that
stops must have no sanitizer report, and its counters must balance.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from checks import PATIENCE, Failure, Skip, check, check_equal, run, until
from shark import (arrivals, departures, events, milliseconds, parse_comment, read_capture, tshark)
from sockets import Cloud, Device, address_text, free_port

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("DEADZONE_BINARY", str(TOP / "build/asan/deadzone"))
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:")
READY = re.compile(r"^deadzone: ready listen=(\S+):(\d+) upstream=(\S+) seed=(\d+)$")


# ---- Programs ----


class Program:
    """A child process. Threads read the lines of its standard error, and of its standard output if that is piped."""

    def __init__(self, words, stdin=None, stdout=subprocess.PIPE, merge=False, **popen):
        self.words = [str(word) for word in words]
        self._lines, self._news, self._readers = [], threading.Condition(), []
        self.process = subprocess.Popen(self.words, stdin=stdin or subprocess.DEVNULL, stdout=stdout,
                                        stderr=subprocess.STDOUT if merge else subprocess.PIPE, **popen)
        for stream in (self.process.stderr, self.process.stdout if stdout == subprocess.PIPE else None):
            if stream:
                self._readers.append(threading.Thread(target=self._read, args=(stream,), daemon=True))
                self._readers[-1].start()

    def _read(self, stream):
        for line in stream:
            with self._news:
                self._lines.append(line.decode(errors="replace").rstrip("\r\n"))
                self._news.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def lines(self):
        with self._news:
            return list(self._lines)

    @property
    def text(self):
        return "\n".join(self.lines)

    def told(self, pattern, count=1, patience=PATIENCE):
        """Waits until `count` lines match; returns the match of the last one."""
        wanted = re.compile(pattern)

        def found():
            matches = [match for match in map(wanted.search, self._lines) if match]
            return matches[count - 1] if len(matches) >= count else None

        deadline = time.monotonic() + patience
        with self._news:
            while True:
                match = found()
                if match:
                    return match
                if self.process.poll() is not None and not any(r.is_alive() for r in self._readers):
                    break
                if time.monotonic() > deadline:
                    break
                self._news.wait(0.1)
        raise Failure(f"{self.words[0]} did not say {pattern!r} ×{count}; it said:\n{self.text}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        """Returns the exit status, once all output has been read."""
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(self.words)} does not end; it said:\n{self.text}") from None
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(1)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def deadzone(*words, **options):
    """Runs a deadzone command that ends by itself."""
    done = run(BINARY, *words, **options)
    check(not SANITIZER.search(done.stderr), f"sanitizer report of {words}:\n{done.stderr}")
    return done


class Deadzone(Program):
    """The running proxy. `listeners` are the (address, port) pairs of its ready lines."""

    def __init__(self, folder, ini, *extra, capture=True, ready=None, prefix=(), binary=None, **popen):
        self.folder = pathlib.Path(folder)
        self.ini = self.folder / "proxy.ini"
        self.json = self.folder / "summary.json"
        self.capture = self.folder / "capture.pcapng"
        self.listeners, self.seed, self._summary = [], None, None
        self.ini.write_text(ini)
        words = [*prefix, binary or BINARY, "run", "-c", self.ini, "--json", self.json]
        words += ["-w", self.capture] if capture else []
        popen.setdefault("stdout", subprocess.DEVNULL)
        super().__init__([*words, *extra], **popen)
        self._count = ready or max(1, sum(len(line.split("=", 1)[1].split(","))
                                          for line in ini.splitlines() if line.startswith("listen =")))

    def await_ready(self):
        for i in range(self._count):
            match = self.told(READY.pattern, i + 1)
            self.listeners.append((match[1].strip("[]"), int(match[2])))
            self.seed = int(match[4])
        return self

    @property
    def port(self):
        return self.listeners[0][1]

    def when_echoed(self):
        """Waits until all answers of an echoing cloud have arrived and nothing is queued, so that no more can come."""

        def done(summary):
            up, down = (summary["totals"][way] for way in ("up", "down"))
            return down["received"] >= up["sent"] and not up["queued"] + down["queued"]

        return self.summary_when(done, "all datagrams to be echoed and sent")

    def summary_when(self, condition, what="the summary", patience=PATIENCE):
        """Requests summaries (SIGUSR1) until one meets the condition; returns that one."""

        def ask():
            self.json.unlink(missing_ok=True)
            self.signal(signal.SIGUSR1)
            summary = until(lambda: read_json(self.json), "the --json file after SIGUSR1")
            return summary if condition(summary) else None

        try:
            return until(ask, what, patience)
        except Failure as failure:
            raise Failure(f"{failure}; the last one: {read_json(self.json)}") from None

    def when_received(self, count, way="up"):
        return self.summary_when(lambda s: s["totals"][way]["received"] >= count, f"{count} datagrams {way}")

    def stop(self, status=0, number=signal.SIGINT):
        """Stops the proxy with a signal; returns the summary."""
        self.signal(number)
        got = self.wait()
        self.check_sane()
        check_equal(got, status, f"exit status; it said:\n{self.text}\n")
        return self.summary

    @property
    def summary(self):
        """The summary of a run that has ended."""
        if self._summary is None:
            self._summary = json.loads(self.json.read_text())
            check_balance(self._summary)
        return self._summary

    def check_sane(self):
        check(not SANITIZER.search(self.text), f"sanitizer report:\n{self.text}")

    def close(self):
        """Stops the proxy cleanly if the test has not done so."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        super().close()


def read_json(path):
    """Returns the file's JSON, or None if the file is missing or incomplete."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return json.loads(pathlib.Path(path).read_text())
    return None


def check_balance(summary):
    """Checks that received + copies = sent + dropped + queued, for every session and direction and in total."""
    for name, one in [(f"s={s['s']}", s) for s in summary["sessions"]] + [("totals", summary["totals"])]:
        for way in ("up", "down"):
            a = one[way]
            check_equal(a["received"] + a["copies"], a["sent"] + sum(a["dropped"].values()) + a["queued"],
                        f"counters of {name} {way} {a}")


# ---- Tests ----

_tests = []


def test(function):
    _tests.append(function)
    return function


class Scene:
    """Everything that one test has started; close() stops it in reverse order."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="deadzone-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.programs = []

    def keep(self, thing):
        self._stack.callback(thing.close)
        return thing

    def path(self, name, text=None):
        path = self.folder / name
        if text is not None:
            path.write_text(text)
        return path

    def cloud(self, *words, **options):
        return self.keep(Cloud(*words, **options))

    def device(self, target, **options):
        if isinstance(target, Deadzone):
            target = target.listeners[0]
        return self.keep(Device(target, **options))

    def program(self, *words, **options):
        self.programs.append(self.keep(Program(words, **options)))
        return self.programs[-1]

    def start(self, ini, *extra, **options):
        """Starts a proxy with this complete ini text, without waiting until it is ready."""
        folder = self.folder / f"run{len(self.programs)}"
        folder.mkdir()
        self.programs.append(self.keep(Deadzone(folder, ini, *extra, **options)))
        return self.programs[-1]

    def proxy(self, more="", *extra, upstream, listen="127.0.0.1:0", keys="", **options):
        """Starts a proxy with these `keys` in [proxy] and `more` sections, and waits until it is ready."""
        text = f"[proxy]\nlisten = {listen}\nupstream = {upstream}\nseed = 7\n{keys}\n{more}\n"
        return self.start(text, *extra, **options).await_ready()

    def close(self):
        self._stack.close()

    def told(self):
        """Returns the last lines that its programs printed, for the report of a failure."""
        return [f"{pathlib.Path(p.words[0]).name}: {line[:200]}" for p in self.programs[-3:] for line in p.lines[-15:]]


def _run_one(function):
    """Returns None, or the error and the last lines of the programs."""
    scene = Scene()
    try:
        function(scene)
        for program in scene.programs:
            program.close()
            check(not SANITIZER.search(program.text), f"sanitizer report:\n{program.text}")
        return None
    except Skip:
        raise
    except (Exception, KeyboardInterrupt) as error:  # a failure ends only its own test
        return error, scene.told()
    finally:
        scene.close()


def _print_failure(function, error, output):
    place = [f"line {f.lineno}" for f in traceback.extract_tb(error.__traceback__)
             if f.filename == function.__code__.co_filename]
    what = str(error) if isinstance(error, Failure) else "".join(traceback.format_exception(error))
    for line in [f"at {' < '.join(reversed(place))}", *what.splitlines(), *output]:
        print(f"# {line}", flush=True)


def run_all():
    """Prints TAP for all tests, or those whose names contain a word of the command line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with it ignored
    names = sys.argv[1:]
    chosen = [f for f in _tests if not names or any(name in f.__name__ for name in names)]
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, function in enumerate(chosen, 1):
        began = time.monotonic()
        try:
            failure = _run_one(function)
            note = f"({time.monotonic() - began:.1f} s)"
        except Skip as skip:
            failure, note = None, f"# SKIP {skip}"
        print(f"{'not ok' if failure else 'ok'} {number} - {function.__name__} {note}", flush=True)
        if failure:
            failed += 1
            _print_failure(function, *failure)
            if isinstance(failure[0], KeyboardInterrupt):
                break
    sys.exit(1 if failed else 0)
