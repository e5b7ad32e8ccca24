# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks share: deadzone or the yardstick on one core, the load on another."""

import atexit
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(TOP / "test/e2e"))
import lab  # noqa: E402
BUILD = TOP / "build"
SECONDS = 1.0  # for a turn
CORES = sorted(os.sched_getaffinity(0))
MEMORY = "/dev/shm"  # captures go there, so that the disk is not measured
WAIT = 300  # seconds; longer than any measurement


def free_port():
    """Returns a free port below the ephemeral ones, which thousands of sessions take."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
            port = random.randrange(20000, 32000)
            one.bind(("127.0.0.1", port))
            return port


def pin(core=None, host=None):
    """Returns what a helper runs before it starts: it moves to that core and network, and restores the signals that
    nohup or a shell made it ignore."""
    def prepare():
        if host:
            lab.enter(host.fd)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if core is not None:
            os.sched_setaffinity(0, {core})
    return prepare


class Proxy:
    """deadzone or the yardstick, on the first core; the capture's thread on the last."""

    def __init__(self, ini=None, forward=(), capture=False, pinned=True, network=None):
        self.port, self.cloud, self.json = free_port(), free_port(), None
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        if ini is None:
            words = [BUILD / "bench/forward", str(self.port), str(self.cloud), *map(str, forward)]
        else:
            path = pathlib.Path(self.folder.name)
            keys, _, sections = ini.partition("---\n")
            listen, upstream = (network.ends if network else (f"127.0.0.1:{self.port}", f"127.0.0.1:{self.cloud}"))
            (path / "bench.ini").write_text(f"[proxy]\nlisten = {listen}\nupstream = {upstream}\n"
                                            f"seed = 1\n{keys}\n{sections}")
            self.json = path / "summary.json"
            words = [BUILD / "deadzone", "run", "-q", "-c", path / "bench.ini", "--json", self.json]
            words += ["-w", path / "bench.pcapng"] if capture else []
        self.network = network
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        preexec_fn=pin(CORES[0] if pinned else None, network and network.gateway))
        atexit.register(self.process.kill)  # if something below goes wrong
        for line in self.process.stdout:
            if "ready" in line:
                break
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir() if pinned else ():
            if (task / "comm").read_text() == "capture\n":
                os.sched_setaffinity(int(task.name), {CORES[-1]})

    def resident(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def stop(self):
        """Returns the summary."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=WAIT)
        summary = json.loads(self.json.read_text()) if self.json else None
        self.folder.cleanup()
        return summary


def load_words(proxy, cloud=None, **options):
    words = [BUILD / "bench/load", "--to", proxy.port, "--cloud", cloud or proxy.cloud, "--watch", proxy.process.pid,
             "--seconds", SECONDS]
    if proxy.network:
        words[1:5] = proxy.network.load_words
    for name, value in options.items():
        words += [f"--{name}"] if value is True else [f"--{name}", value]
    return [str(word) for word in words]


class Network(lab.Lab):
    """Devices, a gateway and a cloud on hosts of their own, for interception or for the plain path."""

    DEVICES = "10.1.0.0/16"

    def __init__(self, intercepts):
        self._stack = contextlib.ExitStack()
        super().__init__(self)
        self.device.run("ip", "route", "add", "local", self.DEVICES, "dev", "lo")
        self.gateway.run("ip", "route", "add", self.DEVICES, "via", self.DEVICE)
        self.ends = ("127.0.0.1:15684", "original") if intercepts else (f"{self.GATEWAY}:15684", f"{self.CLOUD}:5684")
        to = f"{self.CLOUD}:5684" if intercepts else self.ends[0]
        self.load_words = ["--to", to, "--cloud", f"{self.CLOUD}:5684", "--from", "10.1.0.1", "--cloud-net", self.cloud.path]

    def keep(self, thing):
        self._stack.callback(thing.close)
        return thing

    def close(self):
        self._stack.close()


def figures(text):
    return {key: float(value) for key, value in (word.split("=") for word in text.split())}


def load(proxy, pinned=True, **options):
    done = subprocess.run(load_words(proxy, **options), stdout=subprocess.PIPE, text=True, check=True,
                          timeout=WAIT, preexec_fn=pin(CORES[-1] if pinned else None, proxy.network and proxy.network.device))
    return figures(done.stdout)


def turn(options, **proxy):
    one = Proxy(**proxy)
    try:
        got = load(one, pinned=proxy.get("pinned", True), **options)
    finally:
        got_summary = one.stop()
    got["summary"] = got_summary
    return got
