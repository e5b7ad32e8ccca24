#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Faults that attacks once found: nothing may block or get lost, and no file may be opened or removed wrongly."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading

import harness as h
from api import controlled
from harness import check, check_equal, test
from shark import ENHANCED, SECTION, blocks

SAME_ERROR = re.compile(r"`[^`]*` is no file in or below the folders of the ini files in force")


# ---- Files ----


@test
def a_fifo_named_over_the_api_is_refused(scene):
    """Any file outside the folders of the ini files is refused with the same error, whatever it is."""
    proxy, (api,) = controlled(scene, "[link default]\nlatency = 1ms\n")
    device = scene.device(proxy)
    fifo = proxy.folder / "fifo"
    os.mkfifo(fifo)
    trace = proxy.folder / "trace"
    trace.write_text("1\n2\n")
    for path in (fifo, "/etc/shadow", "/nowhere", "/etc", "/dev/zero", proxy.folder / ".." / ".." / "etc" / "passwd"):
        status, answer = api.ask("PATCH", "/api/v1/links/default", {"trace": str(path)})
        check_equal(status, 400, path)
        check(SAME_ERROR.search(answer["error"]), answer["error"])
        check_equal(device.ask(b"still here"), b"still here")
    link = proxy.folder / "link"
    link.symlink_to("/etc/passwd")
    check(SAME_ERROR.search(api.ask("PATCH", "/api/v1/links/default", {"trace": "link"})[1]["error"]), "a symbolic link")
    check_equal(api.ask("PATCH", "/api/v1/links/default", {"trace": "trace"})[0], 200)
    proxy.stop()


@test
def a_reload_that_finds_a_fifo_fails_at_once(scene):
    proxy = scene.proxy("", upstream=scene.cloud())
    device = scene.device(proxy)
    fifo = proxy.folder / "fifo"
    os.mkfifo(fifo)
    proxy.ini.write_text(proxy.ini.read_text() + f"include = {fifo}\n")
    proxy.signal(signal.SIGHUP)
    proxy.told("reload failed errors=1")
    check("it is a pipe" in proxy.text, proxy.text)
    check_equal(device.ask(b"still here"), b"still here")
    proxy.stop()


@test
def an_ini_file_may_come_from_a_pipe_once(scene):
    read, write = os.pipe()
    os.write(write, f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n".encode())
    os.close(write)
    program = scene.program(h.BINARY, "run", "-c", f"/dev/fd/{read}", pass_fds=(read,))
    program.told("ready listen=")
    program.signal(signal.SIGTERM)
    check_equal(program.wait(), 0)
    os.close(read)


@test
def a_file_that_a_capture_names_is_opened_only_if_asked_for(scene):
    proxy, (api,) = controlled(scene, "[link default]\nlatency = 1ms\n")
    (proxy.folder / "trace").write_text("1\n2\n")
    scene.device(proxy).ask(b"first")
    check_equal(api.ask("PATCH", "/api/v1/links/default", {"trace": str(proxy.folder / "trace")})[0], 200)
    scene.device(proxy).ask(b"second")
    proxy.stop()
    words = ["simulate", "-c", proxy.ini, "-r", proxy.capture, "-w", proxy.folder / "again.pcapng", "--live"]
    check("its files are not opened unless --live-files" in h.deadzone(*words).stderr, "the trace was opened")
    check("does not fit" not in h.deadzone(*words, "--live-files").stderr, "the trace was not opened")


@test
def outputs_are_never_inputs(scene):
    ini = scene.path("own.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\ninclude = more.ini\n")
    more = scene.path("more.ini", "[link default]\nlatency = 1ms\n")
    keylog = scene.path("keys", "CLIENT_RANDOM x y\n")
    for words in (("-w", ini), ("-w", more), ("--json", ini), ("--junit", more), ("--json", "x", "--junit", "x"),
                  ("-w", keylog, "--set", f"[capture] keylog = {keylog}")):
        done = h.deadzone("run", "-c", ini, *words, cwd=ini.parent)
        check_equal(done.returncode, 2, (words, done.stderr))
    check("include" in ini.read_text() and "latency" in more.read_text(), "an ini file was overwritten")
    simulated = h.deadzone("simulate", "-c", ini, "-r", h.TOP / "test/data/dtls12-cid-mbedtls.pcapng", "-w", more)
    check_equal(simulated.returncode, 2, simulated.stderr)


@test
def only_a_socket_is_removed_for_one(scene):
    path = scene.path("precious", "not a socket\n")
    ini = scene.path("own.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[control]\n"
                     f"listen = unix:{path}\n")
    check_equal(h.deadzone("run", "-c", ini).returncode, 1)
    check_equal(path.read_text(), "not a socket\n")


@test
def a_token_is_taken_whole_or_not_at_all(scene):
    for text, words in (("x" * 600 + "\n", "has 600 bytes"), ("ab\0cd\n", "NUL byte"), ("\n", "is empty")):
        token = scene.path("token", text)
        ini = scene.path("own.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[control]\n"
                         f"listen = 127.0.0.1:0\ntoken = {token}\n")
        done = h.deadzone("run", "-c", ini)
        check_equal(done.returncode, 1)
        check(words in done.stderr, done.stderr)


# ---- Captures ----


@test
def a_file_that_may_not_grow_is_as_a_full_disk(scene):
    proxy = scene.proxy("", upstream=scene.cloud(), keys="strict = yes\n", prefix=("prlimit", "--fsize=20000"))
    device = scene.device(proxy)
    for _ in range(3):
        check_equal(len(device.ask(bytes(1000))), 1000)
    proxy.summary_when(lambda s: s["capture"]["written"] >= 12, "the records that fit to be written")
    for _ in range(40):
        check_equal(len(device.ask(bytes(1000))), 1000)
    proxy.told("capture: .*File too large")
    proxy.signal(signal.SIGTERM)
    check_equal(proxy.wait(), 3)
    found, rest = blocks(proxy.capture)
    check_equal(rest, b"", "the file ends with a whole block")
    check(len([kind for kind, _ in found if kind == ENHANCED]) > 5, "the packets that fitted are in the file")


@test
def of_a_batch_that_does_not_fit_the_first_blocks_are_written(scene):
    ini = scene.path("many.ini", "[proxy]\nseed = 1\n[rule many]\nnth = 1\ndo = duplicate 500\n")
    words = ["simulate", "-c", ini, "-r", h.TOP / "test/data/dtls12-cid-mbedtls.pcapng", "-w"]
    whole, cut = scene.path("whole.pcapng"), scene.path("cut.pcapng")
    check_equal(h.deadzone(*words, whole).returncode, 0)
    limit = whole.stat().st_size // 3
    done = h.run("prlimit", f"--fsize={limit}", h.BINARY, *words, cut, "--json", scene.path("json"))
    check_equal(done.returncode, 1, done.stderr)
    (found, rest), (every, _) = blocks(cut), blocks(whole)
    written, lost = (h.read_json(scene.path("json"))["capture"][key] for key in ("written", "lost"))
    check_equal(rest, b"", "the file ends with a whole block")
    check_equal([kind for kind, _ in found].count(ENHANCED), written, "packets counted as written")
    check_equal(written + lost, [kind for kind, _ in every].count(ENHANCED) + 1,
                "every packet is counted, and the missing end as one")
    check(limit - 1000 < cut.stat().st_size <= limit, f"{cut.stat().st_size} bytes of {limit} are used")


@test
def what_stood_in_a_file_before_stays(scene):
    """Standard output is a file that already has content, and its size is limited."""
    ini = scene.path("many.ini", "[proxy]\nseed = 1\n[rule many]\nnth = 1\ndo = duplicate 500\n")
    source = h.TOP / "test/data/dtls12-cid-mbedtls.pcapng"
    for redirect in (">>", "1<>"):
        out = scene.path("out.bin")
        out.write_bytes(b"Z" * 50000)
        skip = "dd bs=50000 count=1 of=/dev/null 2>/dev/null <&1;" if redirect == "1<>" else ""
        h.run("sh", "-c", f"exec {redirect} out.bin; {skip} prlimit --fsize=90000 '{h.BINARY}' simulate -q -c '{ini}' -r '{source}' -w -",
              cwd=scene.folder)
        written = out.read_bytes()
        check_equal(written[:50000], b"Z" * 50000, f"{redirect}: the earlier content")
        scene.path("tail.pcapng").write_bytes(written[50000:])
        found, rest = blocks(scene.path("tail.pcapng"))
        check_equal(rest, b"", f"{redirect}: the file ends with a whole block")
        check(len(found) > 100, f"{redirect}: the blocks that fit are in the file")


@test
def a_capture_that_cannot_be_written_does_not_pass_strict(scene):
    """This holds even without any traffic."""
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\nstrict = yes\n", "-w", "/dev/full",
                        capture=False).await_ready()
    proxy.signal(signal.SIGTERM)
    check_equal(proxy.wait(), 3)


@test
def a_full_disk_makes_no_empty_files_and_removes_none(scene):
    mount = scene.folder / "small"
    mount.mkdir()
    enter = ["unshare", "-m", "sh", "-c", 'cd / && mount -t tmpfs -o size=512k none "$0" && exec "$@"', str(mount)]
    if not shutil.which("unshare") or h.run(*enter, "true").returncode:
        raise h.Skip("needs root, for a mount of its own")
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[capture]\n"
                        f"file = {mount}/run.pcapng\nrotate_size = 64KiB\nkeep = 100\n", capture=False,
                        prefix=enter).await_ready()
    folder = pathlib.Path(f"/proc/{proxy.pid}/root{mount}")
    device = scene.device(proxy)

    def disk_is_full():
        for _ in range(10):
            device.ask(bytes(1000))
        return any("No space left" in line for line in proxy.lines)

    h.until(disk_is_full, "the 512 KiB to be full")
    summary = proxy.summary_when(lambda s: s["capture"]["lost"] > 0, "records to be lost")
    files = sorted(folder.iterdir(), key=lambda file: (len(file.name), file.name))
    for file in files:
        found, rest = blocks(file)
        check_equal((found[0][0], rest), (SECTION, b""), file.name)
        check(any(kind == ENHANCED for kind, _ in found) or file == files[-1], f"{file.name} holds nothing")
    check(5 <= len(files) <= 9, [file.name for file in files])
    check(summary["capture"]["written"] > 100, summary["capture"])
    proxy.stop()


@test
def a_kill_right_after_a_rotation_leaves_no_file_that_does_not_open(scene):
    """Forty runs are killed, each right after one of its first five rotations."""
    cloud = scene.cloud()
    for turn in range(40):
        proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\n[capture]\n"
                            f"file = run.pcapng\n", capture=False, cwd=scene.folder).await_ready()
        device = scene.device(proxy)
        for number in range(5):
            device.ask(b"x")
            proxy.signal(signal.SIGUSR2)
            h.until(lambda n=number: (scene.folder / f"run-{n + 2}.pcapng").exists(), "the next file")
            if number == turn % 5:
                break
        proxy.process.kill()
        proxy.process.wait()
        files = list(scene.folder.glob("*.pcapng"))
        check_equal(len(files), turn % 5 + 2)
        for file in files:
            check_equal(blocks(file)[0][0][0], SECTION, file.name)
            file.unlink()
        check_equal([p.name for p in scene.folder.iterdir() if p.name.startswith(".")], [], "files left behind")


@test
def a_capture_with_secrets_is_the_users_own(scene):
    keylog = scene.path("keys", "CLIENT_RANDOM 00 11\n")
    for more, mode in (("", 0o644), (f"[capture]\nkeylog = {keylog}\n", 0o600)):
        before = os.umask(0o022)
        proxy = scene.proxy(more, upstream=scene.cloud())
        os.umask(before)
        check_equal(stat.S_IMODE(proxy.capture.stat().st_mode), mode)
        proxy.stop()
        proxy.capture.unlink()


@test
def a_very_long_key_log_is_read_by_everybody(scene):
    """Of 18 MB of keys the session needs one line: the capture stays small, and can be read to its end."""
    random = "ab" * 32
    with open(scene.folder / "keys", "w") as keys:
        for number in range(100_000):
            keys.write(f"CLIENT_RANDOM {number:064x} {number:096x}\n")
        keys.write(f"CLIENT_RANDOM {random} {'cd' * 48}\n")
    proxy = scene.proxy(f"[capture]\nkeylog = {scene.folder}/keys\nkeylog_wait = 0\n", upstream=scene.cloud())
    hello = bytes.fromhex("16fefd0000000000000000003601000029000000000000 0029fefd" + random) + bytes(20)
    device = scene.device(proxy)
    device.ask(hello)
    device.ask(b"last")
    summary = proxy.stop()
    check_equal(summary["capture"]["lost"], 0)
    check(proxy.capture.stat().st_size < 100_000, f"{proxy.capture.stat().st_size} bytes")
    check(random.encode() in proxy.capture.read_bytes(), "the session's key is not in the file")
    told = json.loads(h.deadzone("report", "--json", proxy.capture).stdout)
    check_equal(told["totals"]["up"]["received"], 2)


@test
def whoever_reads_the_summary_file_finds_it_whole(scene):
    proxy = scene.proxy("".join(f"[rule r{n}]\ndo = note\nnth = 5\n" for n in range(300)), upstream=scene.cloud())
    scene.device(proxy).ask(b"x")
    proxy.signal(signal.SIGUSR1)
    h.until(proxy.json.exists, "the first summary")
    read, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            read.append(json.loads(proxy.json.read_text())["schema"])

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(40):
        before = proxy.json.stat().st_ino
        proxy.signal(signal.SIGUSR1)
        h.until(lambda ino=before: proxy.json.stat().st_ino != ino, "the next summary")
    ended.set()
    reader.join()
    check(len(read) > 40 and set(read) == {1}, f"{len(read)} readings")
    proxy.stop()


@test
def what_waits_at_the_end_is_told_alike_by_run_and_report(scene):
    """Some waiting copies have no record yet: those of joint datagrams, and those of the other direction."""
    proxy = scene.proxy("[link default]\nlatency = 1h\nduplicate = 100%\n[rule pack]\ndirection = up\ndo = pack 1ms\n"
                        "[rule again]\ndirection = down\ndo = replay client_hello\n", upstream=scene.cloud())
    device = scene.device(proxy)
    device.send(*[b"x" * 50] * 10)
    proxy.when_received(10)
    summary = proxy.stop()
    told = json.loads(h.deadzone("report", "--json", proxy.capture).stdout)
    for way in ("up", "down"):
        for field in ("received", "copies", "sent", "queued", "dropped"):
            check_equal(told["sessions"][0][way][field], summary["sessions"][0][way][field], (way, field))


# ---- Steering ----


@test
def calls_that_wait_lock_nobody_out(scene):
    proxy, (api,) = controlled(scene, "[rule never]\nsize = 1\ndo = note\n")
    waiting = []
    for path in ["/api/v1/wait?rule=never&timeout=1h"] * 70 + ["/api/v1/events"] * 70:  # above the limit of connections
        waiting.append(api.connection())
        with contextlib.suppress(OSError):
            waiting[-1].request("GET", path)
        check_equal(api.ask("POST", "/api/v1/mark", {"text": "here"})[0], 200)
    answer = waiting[0].getresponse()
    check_equal((answer.status, answer.getheader("Retry-After")), (503, "1"), "the call that has waited longest")
    check("waited longest" in json.loads(answer.read())["error"], "the error says why")
    check_equal(api.ask("POST", "/api/v1/stop")[0], 202)
    check_equal(proxy.wait(), 0)
    for connection in waiting:
        connection.close()


@test
def sessions_come_in_pages_and_summaries_in_pieces(scene):
    proxy, (api,) = controlled(scene, "[device some]\naddress = 127.0.0.1\n")
    devices = [scene.device(proxy) for _ in range(130)]
    for device in devices:
        device.ask(b"hello")
    summary = api.ask("GET", "/api/v1/summary")[1]
    check_equal([s["s"] for s in summary["sessions"]], list(range(1, 131)))
    check_equal(api.ask("GET", "/api/v1/summary?sessions=0")[1]["sessions"], [])
    met, after, pages = [], 0, 0
    while after is not None:
        page = api.ask("GET", f"/api/v1/sessions?after={after}&limit=50")[1]
        met += [s["s"] for s in page["sessions"]]
        after, pages = page["next"], pages + 1
    check_equal((met, pages), (list(range(1, 131)), 3))
    port = devices[7].port
    found = api.ask("GET", f"/api/v1/sessions?find=:{port}&live=yes")[1]["sessions"]
    check_equal([s["device"] for s in found], [f"127.0.0.1:{port}"])
    for query in ("limit=0x", "limit=20000", "live=maybe", "page=2"):
        check_equal(api.ask("GET", f"/api/v1/sessions?{query}")[0], 400, query)
    proxy.stop()


@test
def a_reload_that_cannot_be_built_anew_changes_nothing(scene):
    """A profile was removed after it was read: a PATCH is refused with the error's text, and nothing aborts."""
    home = scene.folder / "home"
    (home / "bin").mkdir(parents=True)
    shutil.copytree(h.TOP / "rules/profiles", home / "share/deadzone/profiles")
    shutil.copy(h.BINARY, home / "bin/deadzone")
    proxy, (api,) = controlled(scene, "[rule one]\ndo = note\n", keys="include = profile:lte",
                               binary=home / "bin/deadzone")
    shutil.rmtree(home / "share")
    status, answer = api.ask("PATCH", "/api/v1/rules/one", {"enabled": False})
    check_equal(status, 409, answer)
    check("there is no profile `lte`" in answer["error"], answer)
    check_equal(scene.device(proxy).ask(b"still here"), b"still here")
    check_equal(api.ask("GET", "/api/v1/config")[1]["rules"], [{"name": "one", "enabled": True}])
    proxy.stop()


@test
def many_reloads_under_load_lose_nothing(scene):
    """With 2,000 rules of another section, each datagram is answered, and SIGTERM does not wait for all reloads."""
    more = "[device other]\naddress = 192.0.2.1\n" + "".join(f"[rule r{n}]\ndevice = other\ndo = drop\n" for n in range(2000))
    proxy = scene.proxy(more, upstream=scene.cloud())
    device = scene.device(proxy)
    for turn in range(100):
        proxy.signal(signal.SIGHUP)
        check_equal(device.ask(b"%d" % turn), b"%d" % turn)
    proxy.told("reload ok generation=2")
    summary = proxy.stop()
    check_equal((summary["totals"]["up"]["sent"], summary["totals"]["down"]["sent"]), (100, 100))


@test
def a_rule_that_runs_every_millisecond_leaves_time_for_datagrams(scene):
    done = h.deadzone("check", scene.path("wrong.ini", "[rule r]\nevery = 1us\ndo = note\n"))
    check("is below 1ms" in done.stderr, done.stderr)
    proxy = scene.proxy("[rule r]\nevery = 1ms\ndo = note\n", upstream=scene.cloud())
    devices = [scene.device(proxy) for _ in range(50)]
    for turn in range(5):
        for device in devices:
            check_equal(device.ask(b"%d" % turn), b"%d" % turn)
    proxy.stop()


# ---- Input from outside ----


@test
def proxies_in_a_ring_are_bounded_and_told(scene):
    """Two proxies lead to each other, so that one datagram would open sessions without end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = 127.0.0.1:{port}\n", capture=False).await_ready()
    folder = scene.folder / "second"
    folder.mkdir()
    second = scene.keep(h.Deadzone(folder, f"[proxy]\nlisten = 127.0.0.1:{port}\nupstream = 127.0.0.1:{first.port}\n",
                                   capture=False)).await_ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.sendto(b"round and round", ("127.0.0.1", first.port))
        h.until(lambda: "do two proxies lead to each other" in first.text + second.text, "the message about the ring")
    for proxy in (first, second):
        proxy.signal(signal.SIGTERM)
        proxy.wait()
    refused = [p.summary["totals"]["up"]["dropped"].get("overload", 0) for p in (first, second)]
    check(sum(refused) >= 1, refused)


HOSTILE = "\x1b[2J\x9bc\u202e"


def check_tame(output, what):
    """Checks that the output has no ESC and, in UTF-8, no C1 control and no bidirectional control."""
    for control in (b"\x1b", "\x9b".encode(), "\u202e".encode()):
        check(control not in output, f"{what}: {control!r} reached the terminal")


@test
def nothing_from_a_capture_steers_a_terminal(scene):
    proxy = scene.proxy("", upstream=scene.cloud())
    scene.device(proxy).ask(b"x")
    proxy.stop()
    hostile = proxy.capture.read_bytes().replace(b"clean", b"\x1b[2Jx").replace(b"seed=", "se\x9b\u202e".encode()[:5])
    check(b"\x1b" in hostile, "nothing was replaced")
    path = scene.path("hostile.pcapng")
    path.write_bytes(hostile)
    for words in ((), ("--json",)):
        done = subprocess.run([h.BINARY, "report", path, *words], capture_output=True, timeout=h.PATIENCE)
        check_tame(done.stdout + done.stderr, f"report {words}")
        check((b"\\u001B[2Jx" if words else b"\\x1b[2Jx") in done.stdout, done.stdout)


@test
def nothing_in_a_message_steers_a_terminal(scene):
    """Others may have written the file names, keys and sections that messages quote."""
    ini = scene.path("hostile.ini", f"[{HOSTILE}]\n{HOSTILE} = 1\n[link a]\n{HOSTILE} = 1\nlatency = {HOSTILE}\n")
    for words in (("check", ini), ("check", f"no{HOSTILE}.ini"), ("report", f"no{HOSTILE}.pcapng"), (HOSTILE,),
                  ("run", f"--{HOSTILE}"), ("run", "-c", ini), ("tell", HOSTILE), ("tell", "mark", "x", "--to", HOSTILE)):
        done = subprocess.run([h.BINARY, *words], capture_output=True, timeout=h.PATIENCE)
        check_equal(done.returncode, 2, words)
        check_tame(done.stdout + done.stderr, words)
        check(b"\\x1b[2J" in done.stderr, done.stderr)


@test
def nothing_that_a_server_answers_steers_a_terminal(scene):
    """`tell` cannot know which server listens at an address."""
    body = json.dumps({"error": HOSTILE}, ensure_ascii=False).encode()
    for words, status, text in ((("reload",), "400 No", body), (("summary",), "200 OK", HOSTILE.encode()),
                                (("events",), "200 OK", b"data: " + HOSTILE.encode() + b"\n\n")):
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(h.PATIENCE)

        def serve():
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(f"HTTP/1.0 {status}\r\n\r\n".encode() + text)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        done = subprocess.run([h.BINARY, "tell", *words, "--to", f"127.0.0.1:{server.getsockname()[1]}"],
                              capture_output=True, timeout=h.PATIENCE)
        thread.join()
        server.close()
        check_tame(done.stdout + done.stderr, words)
        check(b"\\x1b[2J" in done.stdout + done.stderr, done)


@test
def a_device_or_cloud_that_is_not_there_is_told_with_those_that_are(scene):
    capture = h.TOP / "test/data/dtls12-resume-openssl.pcapng"
    ini = scene.path("empty.ini", "[link default]\nlatency = 1ms\n")
    out = scene.path("out.pcapng")
    for words in (("--device", "192.0.2.77"), ("--cloud", "192.0.2.77:1")):
        for command in (("simulate", "-c", ini, "-r", capture, "-w", out), ("report", capture)):
            done = h.deadzone(*command, *words)
            check_equal(done.returncode, 2, done.stderr)
            check(re.search(r"the busiest are \S+ to \S+ \(\d+\)", done.stderr), done.stderr)


if __name__ == "__main__":
    h.run_all()
