#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Effects of signals on a running proxy."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading

import harness as h
from checks import PATIENCE
from harness import check, check_equal, test

RELOAD_OK = r"^deadzone: reload ok generation=(\d+)$"
RELOAD_FAILED = r"^deadzone: reload failed errors=(\d+)$"


def ignore_all():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def rewrite(proxy, before, after):
    text = proxy.ini.read_text()
    check(before in text, f"{before!r} is not in the ini file")
    proxy.ini.write_text(text.replace(before, after))


def reload(proxy, generation):
    proxy.signal(signal.SIGHUP)
    check_equal(proxy.told(RELOAD_OK, generation - 1)[1], str(generation))


def clean_stop(scene, number, **options):
    """Stops a proxy that has sent one datagram and holds another."""
    cloud = scene.cloud()
    proxy = scene.proxy("[rule second]\ndirection = up\nnth = 2\ndo = delay 1h", upstream=cloud, **options)
    device = scene.device(proxy)
    device.ask(b"goes")
    device.send(b"waits")
    proxy.when_received(2)
    proxy.signal(number)
    check_equal(proxy.wait(), 0, proxy.text)
    up = proxy.summary["totals"]["up"]
    check_equal((up["received"], up["sent"], up["queued"], up["dropped"]), (2, 1, 1, {}))
    check_equal((proxy.summary["exit"], proxy.summary["sessions"][0]["ended"]), (0, "stop"))
    check(proxy.summary["ended"] >= proxy.summary["started"], f"{proxy.summary['started']} {proxy.summary['ended']}")
    check(re.search(r"up +received 2 ", proxy.text), f"no summary in\n{proxy.text}")
    packets = h.read_capture(proxy.capture)
    check_equal((len(h.arrivals(packets)), len(h.departures(packets))), (3, 2))
    check_equal(cloud.datas, [b"goes"])


@test
def sigint_and_sigterm_stop_cleanly(scene):
    for number in (signal.SIGINT, signal.SIGTERM):
        clean_stop(scene, number)


@test
def signals_that_were_ignored_at_start_work(scene):
    for number in (signal.SIGINT, signal.SIGTERM):
        clean_stop(scene, number, preexec_fn=ignore_all)
    proxy = scene.proxy(upstream=scene.cloud(), preexec_fn=ignore_all)
    reload(proxy, 2)
    proxy.summary_when(lambda s: True)
    proxy.stop()


@test
def what_had_arrived_before_the_stop_is_counted(scene):
    """SIGSTOP holds the proxy, so that datagrams and SIGTERM are both waiting when it goes on."""
    proxy = scene.proxy(upstream=scene.cloud())
    device = scene.device(proxy)
    device.ask(b"hello")
    proxy.signal(signal.SIGSTOP)
    for i in range(300):
        device.send(b"last %d" % i)
    proxy.signal(signal.SIGTERM)
    proxy.signal(signal.SIGCONT)
    check_equal(proxy.wait(), 0, proxy.text)
    check_equal(proxy.summary["totals"]["up"]["received"], 301)


@test
def a_capture_that_nobody_reads_does_not_keep_it_from_ending(scene):
    """If `-w` leads to a full pipe or a FIFO without a reader, records not written are counted and reported."""
    reading, writing = os.pipe()
    fifo = scene.path("fifo")
    os.mkfifo(fifo)
    for path, out in (("-", writing), (fifo, None)):
        cloud = scene.cloud()
        proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\nstrict = yes\n", "-w", path,
                            capture=False, stdout=out).await_ready()
        device = scene.device(proxy)
        for _ in range(40):
            check_equal(len(device.ask(bytes(4000))), 4000)
        proxy.signal(signal.SIGINT)
        check_equal(proxy.wait(), 3, "a capture that lacks records must not pass `strict`")
        proxy.told(r"strict: wanted 0, got [1-9]")
    os.close(reading)
    os.close(writing)


@test
def a_fifo_gets_the_whole_capture_once_its_reader_comes(scene):
    fifo = scene.path("fifo")
    os.mkfifo(fifo)
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\nstrict = yes\n", "-w", fifo,
                        capture=False).await_ready()
    device = scene.device(proxy)
    for _ in range(10):
        device.ask(b"before there is a reader")
    copied = scene.path("copied.pcapng")
    with open(copied, "wb") as out:
        reader = subprocess.Popen(["cat", fifo], stdout=out)
        h.until(lambda: copied.stat().st_size > 1000, "the capture to come")
        proxy.signal(signal.SIGTERM)
        check_equal(proxy.wait(), 0)
        check_equal(reader.wait(PATIENCE), 0)
    check_equal(len(h.arrivals(h.read_capture(copied))), 20)


@test
def standard_error_that_nobody_reads_holds_up_nothing(scene):
    """A parent reads the pipe of standard error only up to the ready line: with -v each verdict is a line, and the pipe
    is soon full. Every datagram is answered, and one SIGTERM ends the run."""
    for before in ((), (signal.SIGUSR1,)):
        unread(scene, before)


def unread(scene, before):
    reading, writing = os.pipe()
    ini = scene.path("deaf.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n")
    process = subprocess.Popen([h.BINARY, "run", "-v", "-c", ini], stderr=writing)
    os.close(writing)
    try:
        said = b""
        while not (ready := re.search(rb"ready listen=127\.0\.0\.1:(\d+) ", said)):
            said += os.read(reading, 4096)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.settimeout(PATIENCE)
            device.connect(("127.0.0.1", int(ready[1])))
            for number in range(20000):  # 40,000 lines: more than the queue holds
                device.send(b"%d" % number)
                check_equal(device.recv(100), b"%d" % number)
        for number in before:
            process.send_signal(number)
        process.send_signal(signal.SIGTERM)
        check(ends(process, PATIENCE), "it does not end")
        check_equal(process.returncode, 0)
    finally:
        process.kill()
        process.wait()
        os.close(reading)


@test
def messages_that_found_no_room_are_counted(scene):
    reading, writing = os.pipe()
    ini = scene.path("deaf.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n")
    process = subprocess.Popen([h.BINARY, "run", "-v", "-c", ini], stderr=writing)
    os.close(writing)
    said = []
    with os.fdopen(reading, "rb") as pipe:
        while not (ready := re.search(rb"ready listen=127\.0\.0\.1:(\d+) ", said[-1] if said else b"")):
            said.append(pipe.readline())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.settimeout(PATIENCE)
            device.connect(("127.0.0.1", int(ready[1])))

            def ask():
                device.send(b"again")
                device.recv(100)
                asked.append(1)

            asked = []
            for _ in range(20000):
                ask()
            reader = threading.Thread(target=lambda: said.extend(pipe))
            reader.start()
            h.until(lambda: ask() or any(b"skipped" in line for line in list(said)), "the count of skipped messages")
            process.send_signal(signal.SIGTERM)
            reader.join(PATIENCE)
        check_equal(process.wait(PATIENCE), 0)
    lines = [line.decode().rstrip() for line in said]
    told = [int(m[1]) for m in map(re.compile(r"deadzone: (\d+) messages? w").match, lines) if m]
    verdicts = [line for line in lines if line.startswith("deadzone: s=1 dir=")]
    check_equal(len(verdicts) + sum(told), 2 * len(asked), "lines shown and lines counted")


def ends(process, patience):
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
        return True
    return False


@test
def sighup_with_a_good_file(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nup.loss = 0%\n[rule counted]\ndirection = up\nlimit = 60\ndo = note",
                        upstream=cloud)
    device = scene.device(proxy)
    for i in range(50):
        if i == 25:
            proxy.signal(signal.SIGHUP)
        check_equal(device.ask(b"%d" % i), b"%d" % i)
    check_equal(proxy.told(RELOAD_OK)[1], "2")
    rewrite(proxy, "up.loss = 0%", "up.loss = 100%")
    reload(proxy, 3)
    device.send(*[b"lost"] * 20)
    proxy.summary_when(lambda s: s["totals"]["up"]["dropped"] == {"loss": 20}, "20 lost")
    rewrite(proxy, "up.loss = 100%", "up.loss = 0%")
    reload(proxy, 4)
    check_equal(device.ask(b"again"), b"again")
    summary = proxy.stop()
    up = summary["sessions"][0]["up"]
    check_equal((summary["totals"]["sessions"], up["received"], up["sent"]), (1, 71, 51))
    check_equal(summary["rules"]["counted"], {"matched": 71, "fired": 60}, "the rule's counters and limit go on")
    check_equal(len({row[1] for row in cloud.received}), 1, "one session, one source port")
    packets = h.read_capture(proxy.capture)
    check_equal([p.key[2] for p in h.arrivals(packets, "up")], list(range(1, 72)))
    check_equal(len([e for e in h.events(packets) if e.startswith("reload")]), 3, "reload events")


@test
def sighup_keeps_what_waits(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nup.latency = 700ms", upstream=cloud)
    device = scene.device(proxy)
    device.send(b"one", b"two", b"three")
    proxy.when_received(3)
    rewrite(proxy, "700ms", "0")
    reload(proxy, 2)
    check_equal(device.expect(3), [b"one", b"two", b"three"])
    check(proxy.stop()["sessions"][0]["up"]["delay_ms"]["p50"] >= 690, "queued datagrams kept their due time")


@test
def sighup_with_new_sections_and_rules(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule kept]\ndirection = up\ndo = note", upstream=cloud)
    device = scene.device(proxy)
    device.ask(b"one")
    with proxy.ini.open("a") as ini:
        ini.write("[device lab]\naddress = 127.0.0.1\nlink = dead\n[link dead]\nup.loss = 100%\n"
                  "[rule made]\ndirection = up\ndo = note\n")
    reload(proxy, 2)
    device.send(b"two")
    proxy.when_received(2)
    summary = proxy.stop()
    one = summary["sessions"][0]
    check_equal((one["section"], one["link"], one["up"]["dropped"]), ("lab", "dead", {"loss": 1}))
    check_equal(summary["rules"], {"kept": {"matched": 2, "fired": 2}, "made": {"matched": 1, "fired": 1}})


@test
def sighup_with_wrong_files_changes_nothing(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nup.loss = 0%\n[rule r]\ndo = note", upstream=cloud)
    device = scene.device(proxy)
    device.ask(b"before")
    good = proxy.ini.read_text()
    proxy.ini.write_text(good.replace("up.loss = 0%", "up.loss = 100%\nlatency = 5\nbogus = 1"))
    proxy.signal(signal.SIGHUP)
    check_equal(proxy.told(RELOAD_FAILED)[1], "2")
    for key in ("latency", "bogus"):
        proxy.told(rf"^{re.escape(str(proxy.ini))}:\d+: \[link default\] {key}: ")
    check_equal(device.ask(b"no loss"), b"no loss")
    proxy.ini.unlink()
    proxy.signal(signal.SIGHUP)
    proxy.told(RELOAD_FAILED, 2)
    check_equal(device.ask(b"still none"), b"still none")
    proxy.ini.write_text(good)
    reload(proxy, 2)
    summary = proxy.stop()
    check_equal((summary["totals"]["sessions"], summary["totals"]["up"]["dropped"]), (1, {}))
    check_equal(summary["rules"], {"r": {"matched": 6, "fired": 6}})


@test
def a_reload_tells_what_keeps_its_value(scene):
    cloud = scene.cloud()
    proxy = scene.proxy(upstream=cloud)
    port, seed = proxy.port, proxy.seed
    rewrite(proxy, "listen = 127.0.0.1:0", "listen = 127.0.0.2:0")
    rewrite(proxy, "seed = 7", "seed = 8")
    reload(proxy, 2)
    for key in ("listen", "seed"):
        check(re.search(rf"reload: .*{key}.*keeps", proxy.text), f"no message about {key} in\n{proxy.text}")
    check_equal(scene.device(("127.0.0.1", port)).ask(b"same"), b"same")
    check_equal(proxy.stop()["seed"], seed)


@test
def set_is_applied_again_at_reload(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[link default]\nup.loss = 100%", "--set", "[link default] up.loss = 0%", upstream=cloud)
    device = scene.device(proxy)
    device.ask(b"before")
    reload(proxy, 2)
    device.ask(b"after")
    check_equal(proxy.stop()["totals"]["up"]["dropped"], {})


@test
def sigusr1_prints_and_writes_the_summary(scene):
    proxy = scene.proxy(upstream=scene.cloud())
    device = scene.device(proxy)
    for count in (1, 2):
        device.ask(b"%d" % count)
        summary = proxy.summary_when(lambda s, n=count: s["totals"]["down"]["sent"] == n, f"{count} sent down")
        h.check_balance(summary)
        check_equal(len(summary["sessions"]), 1)
        proxy.told(rf"^ +up +received {count} ")
    check_equal(proxy.process.poll(), None)
    check_equal(proxy.stop()["totals"]["up"]["received"], 2)


@test
def sigusr1_and_sigusr2_without_files(scene):
    """Without --json and -w, the summary is printed, there is no capture to start anew, and the run goes on."""
    cloud = scene.cloud()
    ini = scene.path("bare.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\n")
    proxy = scene.program(h.BINARY, "run", "-c", ini)
    port = int(proxy.told(h.READY.pattern)[2])
    device = scene.device(("127.0.0.1", port))
    device.ask(b"one")
    proxy.signal(signal.SIGUSR1)
    proxy.told(r"^ +up +received 1 ")
    proxy.signal(signal.SIGUSR2)
    proxy.told("capture")
    check_equal(device.ask(b"two"), b"two")
    proxy.signal(signal.SIGINT)
    check_equal(proxy.wait(), 0)


@test
def sigpipe_is_harmless(scene):
    """Neither the signal itself nor a reader of `-w -` that goes away ends the run."""
    reading, writing = os.pipe()
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n", "-w", "-", capture=False,
                        stdout=writing).await_ready()
    os.close(writing)
    proxy.signal(signal.SIGPIPE)
    device = scene.device(proxy)
    check_equal(device.ask(b"one"), b"one")
    os.close(reading)
    for i in range(20):
        check_equal(device.ask(b"%d" % i), b"%d" % i)
    lost = proxy.summary_when(lambda s: s["capture"]["lost"] > 0, "lost records")["capture"]["lost"]
    proxy.told("capture: ")
    summary = proxy.stop()
    check_equal(summary["totals"]["down"]["sent"], 21)
    check(summary["capture"]["lost"] >= lost, summary["capture"])


@test
def many_signals_at_once(scene):
    """No datagram is lost while many signals arrive."""
    proxy = scene.proxy("[link default]\nlatency = 2ms", upstream=scene.cloud())
    device = scene.device(proxy)
    for i in range(60):
        proxy.signal((signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)[i % 3])
        check_equal(device.ask(b"%d" % i), b"%d" % i)
    summary = proxy.stop()
    check_equal((summary["totals"]["sessions"], summary["totals"]["down"]["sent"]), (1, 60))
    check_equal(summary["capture"]["lost"], 0)


if __name__ == "__main__":
    h.run_all()
