#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The files of `make install-wireshark`, as tshark uses them: fields, columns, colours, buttons, extcap."""

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess

import harness as h
from harness import check, check_equal, test

SCRIPT = h.TOP / "wireshark/deadzone.lua"
PROFILE = h.TOP / "wireshark/profile"
HARMLESS = "Running as user"
BUSY = """
[device lab]
[link default]
latency = 3ms
duplicate = 20%
corrupt = 20%
[rule third]
nth = every 3
direction = up
do = drop
[rule dark]
direction = down
nth = 10
do = blackout 20ms hold
"""


def busy_capture(scene):
    proxy = scene.proxy(BUSY, upstream=scene.cloud())
    device = scene.device(proxy)
    for i in range(60):
        device.send(b"%d" % i)
    proxy.when_received(60)
    proxy.when_echoed()
    return proxy, proxy.stop()


def with_fields(path, display, *fields):
    """Returns the rows that match, with the fields of the Lua script; tshark must not complain about it."""
    words = ["tshark", "-X", f"lua_script:{SCRIPT}", "-n", "-r", path, "-Y", display, "-T", "fields", "-E", "occurrence=a"]
    for field in fields:
        words += ["-e", field]
    done = h.run(*words)
    complaints = [line for line in done.stderr.splitlines() if line and not line.startswith(HARMLESS)]
    check_equal((done.returncode, complaints), (0, []), display)
    return [line.split("\t") for line in done.stdout.splitlines()]


@test
def comments_and_events_are_fields(scene):
    proxy, summary = busy_capture(scene)
    up, down = summary["totals"]["up"], summary["totals"]["down"]
    path = proxy.capture
    rows = with_fields(path, 'deadzone.verdict == "drop"', "deadzone.session", "deadzone.dir", "deadzone.reason", "deadzone.by")
    check_equal(len(rows), 20)
    check_equal({tuple(row) for row in rows}, {("1", "up", "rule", "rule:third")})
    check_equal(len(with_fields(path, 'deadzone.step == "arrived"', "deadzone.n")), up["received"] + down["received"])
    check_equal(len(with_fields(path, 'deadzone.step == "sent"', "deadzone.n")), up["sent"] + down["sent"])
    check_equal(len(with_fields(path, "deadzone.copy", "deadzone.of")), up["copies"] + down["copies"])
    check_equal(len(with_fields(path, 'deadzone.did contains "corrupt"', "deadzone.did")), up["corrupted"] + down["corrupted"])
    delays = [float(row[0]) for row in with_fields(path, "deadzone.delay >= 0.003 and deadzone.late", "deadzone.delay", "deadzone.late")]
    check(delays and all(0.003 <= one < 0.2 for one in delays), f"delays in seconds: {delays[:5]}")
    check_equal(with_fields(path, "deadzone.delay > 5", "deadzone.n"), [])
    begins = with_fields(path, 'deadzone.event contains "blackout-begins"', "deadzone.session", "deadzone.by")
    check_equal(begins, [["1", "rule:dark"]])
    check_equal({row[0] for row in with_fields(path, "deadzone.device", "deadzone.device")}, {"lab"})
    many = with_fields(path, 'deadzone.by == "link:default"', "deadzone.by")
    check(many, "each of several names in `by` is a value")


@test
def the_profiles_filters_are_filters(scene):
    proxy, _ = busy_capture(scene)
    filters = [line.split("@")[2] for line in (PROFILE / "colorfilters").read_text().splitlines()]
    rows = [re.findall(r'"((?:[^"\\]|\\.)*)"', line) for line in (PROFILE / "dfilter_buttons").read_text().splitlines()]
    filters += [row[2].replace('\\"', '"') for row in rows]
    check(len(filters) >= 15, filters)
    for one in filters:
        with_fields(proxy.capture, one, "frame.number")
    for one in ('deadzone.verdict == "drop" || deadzone.step == "unsent"', 'deadzone.step == "sent"', "deadzone.event"):
        check(one in filters and with_fields(proxy.capture, one, "frame.number"), f"{one} finds nothing")


@test
def the_profile_shows_columns(scene):
    proxy, _ = busy_capture(scene)
    home = scene.path("config") / "wireshark/profiles"
    shutil.copytree(PROFILE, home / "deadzone")
    done = h.run("tshark", "-C", "deadzone", "-X", f"lua_script:{SCRIPT}", "-n", "--color", "-r", proxy.capture,
                 env=dict(os.environ, XDG_CONFIG_HOME=str(scene.path("config"))))
    complaints = [line for line in done.stderr.splitlines() if line and not line.startswith(HARMLESS)]
    check_equal((done.returncode, complaints), (0, []))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    check(re.search(r"1 up drop rule rule:third", plain), plain[:2000])


@test
def one_that_cannot_start_ends_the_capture_of_a_reader_that_comes_late(scene):
    """Like Wireshark, the reader opens the fifo without waiting for a writer, then waits for bytes or the end."""
    wrong, fifo = scene.path("wrong.ini", "[proxy]\nlissen = 127.0.0.1:0\n"), scene.path("fifo")
    os.mkfifo(fifo)
    process = subprocess.Popen(["sh", h.TOP / "wireshark/extcap.in", "--capture", "--ini", wrong, "--fifo", fifo],
                               env={**os.environ, "DEADZONE": h.BINARY}, stderr=subprocess.PIPE, text=True)
    try:
        check(any("lissen" in line for line in process.stderr), "the ini file's errors are printed")
        with contextlib.suppress(subprocess.TimeoutExpired):
            check(process.wait(0.5) is None, "it ends before the reader has come")
        reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        waiting = select.poll()
        waiting.register(reading, select.POLLIN)
        check(waiting.poll(5000), "the reader waits forever")
        check_equal(os.read(reading, 100), b"")
        os.close(reading)
        check(process.wait(5) != 0, "the exit status shows the failure")
    finally:
        process.kill()
        process.communicate()


@test
def it_is_an_interface_of_wiresharks(scene):
    folder = next(line.split("\t", 1)[1] for line in h.run("tshark", "-G", "folders").stdout.splitlines()
                  if line.startswith("Extcap path:"))
    mine = scene.path("extcap")
    mine.mkdir()
    (mine / "deadzone").write_text((h.TOP / "wireshark/extcap.in").read_text().replace("@deadzone@", h.BINARY))
    (mine / "deadzone").chmod(0o755)
    enter = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', mine, folder]
    if h.run(*enter, "true").returncode:
        raise h.Skip("needs root, for a mount of its own")
    check("deadzone (deadzone: a network made bad)" in h.run(*enter, "tshark", "-D").stdout, "tshark -D lists it")
    cloud, port = scene.cloud(), h.free_port()
    ini = scene.path("wire.ini", f"[proxy]\nlisten = 127.0.0.1:{port}\nupstream = {cloud}\n")
    shark = scene.program(*enter, "tshark", "-l", "-i", "deadzone", "-o", f"extcap.deadzone.ini:{ini}", "-a", "packets:5",
                          "-n", "-T", "fields", "-e", "frame.comment")
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("127.0.0.1", port))

    def heard():
        try:
            probe.send(b"hello")
        except OSError:  # it does not listen yet
            pass
        return cloud.received

    with probe:
        h.until(heard, "the interface to come up")
        h.until(lambda: heard() and shark.process.poll() is not None, "five packets")
    shark.wait()
    check("verdict=send" in shark.text, shark.text)
    wrong = scene.path("wrong.ini", "[proxy]\nlissen = 127.0.0.1:0\n")
    done = h.run(*enter, "tshark", "-i", "deadzone", "-o", f"extcap.deadzone.ini:{wrong}", "-a", "duration:10")
    check("lissen" in done.stderr and "listen" in done.stderr, f"the ini file's errors are printed: {done.stderr}")


@test
def a_plain_user_gets_what_has_a_place_and_can_take_it_away(scene):
    home = scene.path("home")
    home.mkdir()
    os.chmod(scene.folder, 0o755)
    plain = {}
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
        plain = {"user": 65534, "group": 65534}
    env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    script = shutil.copytree(h.TOP / "wireshark", scene.path("wireshark")) / "install.sh"

    def install(word):
        return subprocess.run(["sh", script, word], env=env, capture_output=True, text=True, cwd="/", **plain)

    done = install("/opt/deadzone")
    check_equal(done.returncode, 0, done.stderr)
    placed = sorted(path.name for path in home.rglob("*") if path.is_file())
    for name in ("deadzone.lua", "colorfilters", "preferences"):
        check(name in placed, f"{name} is not among {placed}: {done.stdout}{done.stderr}")
    check("interface:" in done.stdout or "not installed: deadzone as an interface" in done.stderr, done.stderr)
    check_equal(install("--uninstall").returncode, 0)
    check_equal([path for path in home.rglob("*") if path.is_file()], [])


h.run_all()
