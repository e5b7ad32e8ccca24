#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make demo: the main job, end to end.

A cloud (libcoap's server, DTLS 1.2 with a pre-shared key) has a 45 KiB firmware file. A device (libcoap's client)
fetches it block by block, first directly, then through deadzone on a 2G-like link with a dead zone in mid-transfer.
The file that arrives must be the one that was sent. The exit status is not 0 if anything went wrong.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).parent.parent
BUILD = TOP / "build"
CAPTURE = BUILD / "demo.pcapng"
SIZE = 45 * 1024
KEY, IDENTITY = "0123456789abcdef", "electron"
PATIENCE = 80  # seconds for the impaired transfer


def say(text=""):
    print(text, flush=True)


def free_port():
    """Returns a port P such that P and P+1 are free on UDP and TCP: the server takes both."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for offset in (0, 1):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", port + offset))
            return port
        except OSError:
            continue
    sys.exit("demo: no free ports")


def client(port, *words, patience=20):
    return ["coap-client-openssl", "-v", "3", "-k", KEY, "-u", IDENTITY, "-b", "1024", "-B", str(patience), *words,
            f"coaps://127.0.0.1:{port}/firmware"]


def start_cloud(folder):
    port = free_port()
    cloud = subprocess.Popen(
        ["coap-server-openssl", "-A", "127.0.0.1", "-p", str(port), "-k", KEY, "-h", "cloud", "-d", "1", "-v", "3"],
        stdout=subprocess.DEVNULL, stderr=open(folder / "cloud.log", "w"))
    return cloud, port + 1


def upload(port, image):
    """Uploads the firmware to the cloud, directly, over the same protocol. Returns whether it is there."""
    for _ in range(20):
        subprocess.run(client(port, "-m", "put", "-f", image, patience=3), capture_output=True)
        fetched = image.with_name("check.bin")
        subprocess.run(client(port, "-o", fetched, patience=5), capture_output=True)
        if fetched.exists() and fetched.read_bytes() == image.read_bytes():
            return True
        time.sleep(0.2)
    return False


def start_proxy(folder, cloud_port):
    log = open(folder / "proxy.log", "w")
    proxy = subprocess.Popen(
        [BUILD / "deadzone", "run", "-c", "proxy.ini", "-w", CAPTURE, "--json", folder / "summary.json",
         "--set", "[proxy] listen = 127.0.0.1:0", "--set", f"[proxy] upstream = 127.0.0.1:{cloud_port}"],
        cwd=TOP, stderr=log)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and proxy.poll() is None:
        ready = re.search(r"ready listen=127\.0\.0\.1:(\d+)", (folder / "proxy.log").read_text())
        if ready:
            return proxy, int(ready.group(1))
        time.sleep(0.05)
    sys.exit("demo: deadzone did not start:\n" + (folder / "proxy.log").read_text())


def fetch(port, into, patience, show):
    """Fetches the firmware; returns the seconds that it took."""
    began = time.monotonic()
    device = subprocess.Popen(client(port, "-o", into, patience=patience), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    shown = -1
    while device.poll() is None:
        size = into.stat().st_size if into.exists() else 0
        if show and size != shown:
            filled = 40 * size // SIZE
            end = "" if sys.stdout.isatty() else "\n"
            if end == "" or size * 5 // SIZE != shown * 5 // SIZE:
                print(f"\r  [{'#' * filled}{'.' * (40 - filled)}] {size:6} of {SIZE} bytes"
                      f"  {time.monotonic() - began:5.1f} s", end=end, flush=True)
            shown = size
        if time.monotonic() - began > patience + 5:
            device.kill()
        time.sleep(0.1)
    if show:
        say(f"\r  [{'#' * 40}] {into.stat().st_size if into.exists() else 0:6} of {SIZE} bytes"
            f"  {time.monotonic() - began:5.1f} s")
    return time.monotonic() - began


def stop(process):
    if process and process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def judge(folder, image, fetched, status):
    """Returns a message for each thing that went wrong."""
    wrong = []
    summary = json.loads((folder / "summary.json").read_text())
    if not fetched.exists() or fetched.read_bytes() != image.read_bytes():
        wrong.append("the file that arrived is not the one that was sent")
    if status != 0:
        wrong.append(f"deadzone ended with exit status {status}")
    if summary["rules"]["dead-zone"]["fired"] != 1:
        wrong.append("the dead zone did not happen")
    for way in ("up", "down"):
        totals = summary["totals"][way]
        if totals["received"] + totals["copies"] != totals["sent"] + sum(totals["dropped"].values()) + totals["queued"]:
            wrong.append(f"the counters of {way} do not balance")
    if not CAPTURE.exists() or not CAPTURE.stat().st_size:
        wrong.append("there is no capture")
    return wrong


def show_end(folder, direct, impaired):
    log = (folder / "proxy.log").read_text().splitlines()
    say("  what happened:")
    for line in log:
        if re.match(r"deadzone: s=\d+ (blackout|session)", line):
            say("    " + line.removeprefix("deadzone: "))
    start = next((i for i, line in enumerate(log) if line.startswith("session 1")), len(log))
    say()
    for line in log[start:]:
        say("  " + line)
    say()
    say(f"  transfer time: {direct:.1f} s directly, {impaired:.1f} s through the bad network")
    page = CAPTURE.with_suffix(".html")
    subprocess.run([BUILD / "deadzone", "report", CAPTURE, "--html", page], check=True)
    say(f"  report:        {page.relative_to(TOP)}; open it with")
    say(f"                 xdg-open {page.relative_to(TOP)}")
    say(f"  capture:       {CAPTURE.relative_to(TOP)}; open it with")
    say(f"                 wireshark {CAPTURE.relative_to(TOP)}")
    say("                 what was dropped: frame.comment contains \"verdict=drop\"")
    say("                 (libcoap chose ECDHE-PSK with ChaCha20: the content stays encrypted without a key log)")


def run(folder):
    image, fetched = folder / "firmware.bin", folder / "fetched.bin"
    image.write_bytes(os.urandom(SIZE))
    cloud = proxy = None
    try:
        say(f"A cloud with a {SIZE // 1024} KiB firmware, over CoAP and DTLS 1.2 (PSK), block by block.")
        cloud, cloud_port = start_cloud(folder)
        if not upload(cloud_port, image):
            say("demo: the cloud did not take its firmware:\n" + (folder / "cloud.log").read_text())
            return 1
        direct = fetch(cloud_port, folder / "direct.bin", 20, show=False)
        say(f"The device fetches it directly: {direct:.1f} s.")
        proxy, port = start_proxy(folder, cloud_port)
        say("Now through deadzone, as proxy.ini says: 35/32 kbit/s, 150 ms ± 30 ms each way, 2 % loss, and a dead zone"
            " of 6 s.")
        impaired = fetch(port, fetched, PATIENCE, show=True)
        stop(proxy)
        show_end(folder, direct, impaired)
        wrong = judge(folder, image, fetched, proxy.returncode)
        for line in wrong:
            say(f"demo: {line}")
        if not wrong:
            say("  the file came through byte for byte.")
        return 1 if wrong else 0
    finally:
        stop(proxy)
        stop(cloud)


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="deadzone-demo-"))
    try:
        return run(folder)
    finally:
        shutil.rmtree(folder)


sys.exit(main())
