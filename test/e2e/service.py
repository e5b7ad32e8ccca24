#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""deadzone as a service: messages to the manager, permissions of captures and sockets, and the unit itself."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess

from checks import Failure, Skip, check, check_equal, run, until
from harness import BINARY, PATIENCE, TOP, run_all, test

# Exposure by `systemd-analyze security`: 0 is the least, 10 the most.
MOST_EXPOSURE, MOST_EXPOSURE_GATEWAY = 1.2, 2.0


class Manager:
    """The service manager, which listens at $NOTIFY_SOCKET."""

    def __init__(self, scene, name=None):
        self.path = str(scene.path("notify")) if name is None else name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path.replace("@", "\0", 1) if self.path[0] == "@" else self.path)
        self.socket.settimeout(PATIENCE)
        scene.keep(self.socket)
        self.environment = dict(os.environ, NOTIFY_SOCKET=self.path)

    def told(self, pattern):
        """Receives until a message matches; returns the match."""
        seen = []
        while True:
            try:
                seen.append(self.socket.recv(4096).decode())
            except TimeoutError:
                raise Failure(f"no message matches {pattern!r}: {seen}") from None
            match = re.search(pattern, seen[-1], re.MULTILINE)
            if match:
                return match


@test
def a_run_tells_how_it_is(scene):
    manager = Manager(scene)
    proxy = scene.proxy(upstream=scene.cloud(), env=manager.environment)
    manager.told("^READY=1$")
    check_equal(scene.device(proxy).ask(b"hello"), b"hello")
    manager.told("^STATUS=1 session, 2 datagrams received, 0 dropped$")
    proxy.signal(signal.SIGHUP)
    manager.told(r"^RELOADING=1\nMONOTONIC_USEC=\d+$")
    manager.told("^READY=1$")
    proxy.stop()
    manager.told("^STOPPING=1$")


@test
def ready_is_told_after_the_listeners_are_bound(scene):
    """A run with a listener that cannot be bound is never ready."""
    taken = scene.cloud()
    manager = Manager(scene)
    proxy = scene.start(f"[proxy]\nlisten = {taken}\nupstream = 127.0.0.1:9\n", env=manager.environment)
    check_equal(proxy.wait(), 1)
    manager.socket.setblocking(False)
    try:
        raise Failure(f"the manager got {manager.socket.recv(4096)!r}")
    except BlockingIOError:
        pass


def state_of(program):
    with open(f"/proc/{program.pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


@test
def the_watchdog_hears_of_a_run_that_lives(scene):
    """While the process is stopped, no message comes."""
    manager = Manager(scene, f"@deadzone-test-{os.getpid()}")
    environment = dict(manager.environment, WATCHDOG_USEC="200000")
    proxy = scene.proxy(upstream=scene.cloud(), env=environment)
    for _ in range(3):
        manager.told("^WATCHDOG=1$")
    proxy.signal(signal.SIGSTOP)
    until(lambda: state_of(proxy) == "T", "the process to be stopped")
    manager.socket.setblocking(False)
    try:
        while True:
            manager.socket.recv(4096)
    except BlockingIOError:
        pass
    manager.socket.settimeout(0.5)  # two and a half periods of the watchdog
    try:
        raise Failure(f"the manager got {manager.socket.recv(4096)!r} though the process is stopped")
    except TimeoutError:
        pass
    manager.socket.settimeout(PATIENCE)
    proxy.signal(signal.SIGCONT)
    manager.told("^WATCHDOG=1$")
    proxy.stop()


@test
def a_watchdog_of_another_process_is_not_ours(scene):
    manager = Manager(scene)
    proxy = scene.proxy(upstream=scene.cloud(), env=dict(manager.environment, WATCHDOG_USEC="20000", WATCHDOG_PID="1"))
    manager.told("^READY=1$")
    manager.told("^STATUS=0 sessions")
    proxy.stop()
    manager.told("^STOPPING=1$")


@test
def a_manager_that_is_gone_stops_nothing(scene):
    manager = Manager(scene)
    proxy = scene.proxy(upstream=scene.cloud(), env=manager.environment)
    manager.socket.close()
    os.unlink(manager.path)
    check_equal(scene.device(proxy).ask(b"hello"), b"hello")
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok")
    proxy.stop()


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@test
def modes_of_captures_and_sockets(scene):
    for name, keys, umask, wanted in (
            ("plain", "", 0o027, 0o640), ("asked", "mode = 0660", 0o027, 0o660), ("open", "mode = 0644", 0o077, 0o644),
            ("secret", f"keylog = {scene.path('keys', '')}", 0o022, 0o600),
            ("shared", f"keylog = {scene.path('keys', '')}\nmode = 0640", 0o022, 0o640)):
        folder = scene.path(name)
        folder.mkdir()
        control = folder / "control"
        proxy = scene.proxy(f"[capture]\nfile = {folder}/c.pcapng\n{keys}\n[control]\nlisten = unix:{control}\n"
                            + ("mode = 0660\n" if name != "plain" else ""), upstream=scene.cloud(), capture=False,
                            umask=umask, ready=1)
        check_equal(mode_of(control), 0o660 if name != "plain" else 0o600, f"the socket of {name}")
        proxy.signal(signal.SIGUSR2)
        proxy.told("the capture goes on in")
        proxy.stop()
        modes = {mode_of(path) for path in folder.glob("*.pcapng")}
        check_equal(modes, {wanted}, f"captures of {name}")


@test
def modes_that_make_no_sense(scene):
    for text in ("0777", "640x", "0400", "rw-r-----", "00000000000000640", "7777700666", "8"):
        done = run(BINARY, "check", scene.path("bad.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = a:1\n[capture]\nmode = {text}\n"))
        check_equal(done.returncode, 2, text)
        check("is no file mode here: it is octal" in done.stderr, done.stderr)


@test
def tell_finds_a_run_by_its_ini_file(scene):
    token = scene.path("token", "secret\n")
    proxy = scene.proxy(f"[control]\nlisten = unix:{scene.folder}/control\ntoken = {token}\n", upstream=scene.cloud(), ready=1)
    done = run(BINARY, "tell", "-c", proxy.ini, "mark", "here")
    check_equal((done.returncode, done.stderr), (0, ""))
    done = run(BINARY, "tell", "--to", f"unix:{scene.folder}/control", "mark", "here")
    check_equal(done.returncode, 1, "without the token")
    without = scene.path("without.ini", "[proxy]\nlisten = 127.0.0.1:0\nupstream = a:1\n")
    done = run(BINARY, "tell", "-c", without, "stop")
    check_equal(done.returncode, 2)
    check("has no `[control] listen`" in done.stderr, done.stderr)
    proxy.stop()


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False,
                          env=dict(os.environ, SYSTEMD_LOG_LEVEL="warning"))


@test
def the_unit_is_valid_and_exposes_little(scene):
    if shutil.which("systemd-analyze") is None:
        raise Skip("systemd is missing")
    text = (TOP / "packaging/deadzone@.service.in").read_text().replace("@bin@", str(TOP / "build"))
    unit = scene.path("deadzone@lab.service", text)
    drop_ins = scene.path("deadzone@lab.service.d")
    drop_ins.mkdir()
    for most in (MOST_EXPOSURE, MOST_EXPOSURE_GATEWAY):
        done = analyze("verify", "--man=no", unit)
        wrong = [line for line in done.stderr.splitlines() if "deadzone" in line]
        check_equal((done.returncode, wrong), (0, []), done.stderr)
        done = analyze("security", "--offline=yes", "--no-pager", unit)
        figure = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
        check(figure, done.stdout + done.stderr)
        check(float(figure[1]) <= most, f"{figure[0]}: more than {most}")
        shutil.copy(TOP / "packaging/deadzone-gateway.conf", drop_ins)


if __name__ == "__main__":
    run_all()
