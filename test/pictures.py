#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Pictures of both pages and of Wireshark, to look at and for documents: `make pictures`, into build/pictures/.

The pages are drawn at 400, 1300 and 1920 px, light and dark, with 0, 5 and 100 sessions.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "test/e2e"))
os.environ.setdefault("DEADZONE_BINARY", str(TOP / "build/deadzone"))

import harness as h  # noqa: E402
from harness import test  # noqa: E402

SHOTS = TOP / "build/pictures"
WINDOW = """
gui.geometry_main_x: 0
gui.geometry_main_y: 0
gui.geometry_main_width: 1300
gui.geometry_main_height: 850
gui.geometry_main_maximized: FALSE
"""
INI = """
[control]
listen = 127.0.0.1:0
[link default]
latency = 120ms
jitter = 40ms
rate = 400kbit
queue = 30p
loss = 2%
[link tunnel]
loss = 100%
[device lab]
identity = bench-1
[rule dead-zone]
direction = up
nth = 60
limit = 1
do = blackout 6s
expect = 1-
[rule seen]
nth = every 25
do = note
"""


def shoot(url, name, wait="500"):
    environment = dict(os.environ, PLAYWRIGHT=str(TOP / "build/browser"))
    for width in (400, 1300, 1920):
        for theme in ("light", "dark"):
            file = SHOTS / f"{name}-{width}-{theme}.png"
            done = h.run("node", TOP / "test/browser/page.mjs", "picture", url, file, str(width), "900", theme, wait,
                         env=environment, patience=90)
            h.check_equal(done.returncode, 0, done.stdout + done.stderr)


def send(devices, number):
    for device in devices:
        device.send(b"datagram %03d of a firmware image" % number + bytes(number % 7 * 30))
        device.pending()
    time.sleep(0.03)  # a visible pace; no check depends on it


def live(scene, sessions):
    """Takes pictures while datagrams pass: without traffic the charts would only show its end."""
    proxy = scene.proxy(INI, upstream=scene.cloud(), ready=1)
    url = "http://" + re.search(r"control listen=(\S+)", proxy.text)[1] + "/"
    devices = [scene.device(proxy) for _ in range(sessions)]
    over = threading.Event()

    def traffic():
        number = 0
        while not over.is_set():
            send(devices, number)
            number += 1

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        shoot(url, f"live-{sessions}", "2500")
    finally:
        over.set()
        sender.join()
    proxy.stop(0 if sessions else 3)


def report(scene, sessions):
    proxy = scene.proxy(INI, upstream=scene.cloud(), ready=1)
    devices = [scene.device(proxy) for _ in range(sessions)]
    count = 300 if sessions == 5 else 70  # in the documents' picture, past the end of the blackout
    for number in range(count):
        send(devices, number)
    proxy.when_received(count * sessions)
    proxy.stop(0 if sessions else 3)
    page = scene.path("report.html")
    h.check_equal(h.deadzone("report", proxy.capture, "--html", page).returncode, 0)
    shoot(page.as_uri(), f"report-{sessions}")


def add(sessions):
    def shooting(scene):
        live(scene, sessions)
        report(scene, sessions)
    shooting.__name__ = f"pages_with_{sessions}_sessions"
    test(shooting)


for _count in (0, 5, 100):
    add(_count)


@test
def a_campaign(scene):
    """The campaign has losses by the number of datagrams that must get through, and a search."""
    scene.path("net.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[link default]\nlatency = 5ms\n"
               "[rule cut]\ndirection = up\nnth = 2\ndo = truncate 9\n")
    ini = scene.path("campaign.ini", f"""[campaign]
config = net.ini
test = {TOP}/test/campaign/device.py $DEADZONE_AXIS_DATAGRAMS
seeds = 1-5
jobs = 4
require = 80%
[axis loss]
set = [link default] up.loss
values = 0%, 1%, 2%, 5%
[axis datagrams]
values = 5, 20, 60
[search longest]
set = [rule cut] do
value = truncate {{}}
from = 1
to = 40
worse = less
""")
    done = h.deadzone("campaign", "-q", "-c", ini, "-o", scene.path("out"), "--only", "m/*", "--only", "s/*/0pct+5", patience=200)
    h.check_equal(done.returncode, 3, done.stderr)
    shoot(scene.path("out/report.html").as_uri(), "campaign")


@test
def wireshark_with_the_profile(scene):
    """Wireshark's window fills a display of its own; a dropped datagram is selected."""
    proxy = scene.proxy(INI, upstream=scene.cloud(), ready=1)
    device = scene.device(proxy)
    for i in range(70):
        device.send(b"datagram %03d" % i)
        device.pending()
    proxy.when_received(70)
    proxy.stop()
    home = scene.path("home")
    shutil.copytree(TOP / "wireshark/profile", home / "wireshark/profiles/deadzone")
    (home / "wireshark/recent_common").write_text(WINDOW)
    display = f":{os.getpid() % 10000 + 100}"
    environment = dict(os.environ, XDG_CONFIG_HOME=str(home), HOME=str(home), DISPLAY=display)
    screen = subprocess.Popen(["Xvfb", display, "-screen", "0", "1300x850x24"], stderr=subprocess.DEVNULL)
    viewer = None
    try:
        h.until(lambda: pathlib.Path(f"/tmp/.X11-unix/X{display[1:]}").exists(), "the display")
        viewer = subprocess.Popen(["wireshark", "-C", "deadzone", "-X", f"lua_script:{TOP}/wireshark/deadzone.lua", "-r", proxy.capture, "-g", "11"],
                                  env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sizes = [0, 0, 0]
        # The window is drawn once the picture is large and no longer changes.
        while len(sizes) < 60 and not (sizes[-1] > 60_000 and sizes[-1] == sizes[-2] == sizes[-3]):
            time.sleep(1)
            h.run("import", "-window", "root", SHOTS / "wireshark.png", env=environment)
            sizes.append((SHOTS / "wireshark.png").stat().st_size)
        h.check(len(sizes) < 60, f"the window was not drawn: {sizes[-5:]}")
    finally:
        for process in (viewer, screen):
            if process:
                process.kill()
                process.wait()


@test
def pictures_of_the_documents(scene):
    """Writes the pictures that README.md shows into doc/pictures/, with few colours."""
    for name, shot in (("report", "report-5-1300-light"), ("live", "live-5-1300-light"),
                       ("campaign", "campaign-1300-light"), ("wireshark", "wireshark")):
        picture = TOP / f"doc/pictures/{name}.png"
        done = h.run("convert", SHOTS / f"{shot}.png", "-strip", "-colors", "128", f"PNG8:{picture}")
        h.check_equal(done.returncode, 0, done.stderr)
        h.check(picture.stat().st_size <= 200 * 1024, f"{picture} is larger than 200 KiB")


SHOTS.mkdir(parents=True, exist_ok=True)
h.run_all()
