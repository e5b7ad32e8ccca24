#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The command line: its words, its messages, its exit status."""

import re
import socket

import harness as h
from harness import check, check_equal, deadzone, read_json, test
from packets import CLOUD, DEVICE, ETHERNET, framed, ip, pcap

BAD = """\
stray = 1
[proxy]
listen = 127.0.0.1
listn = 127.0.0.1:0
upstream: 127.0.0.1:1
seed =
idle_timeout = 5
max_sessions = 0
[link a] latency = 5ms
[link b]
latency = 5ms # no
loss = 5
 jitter = 1ms
jitter = 1ms
jitter = 2ms
nonsense
[link b]
[rule nodo]
nth = 3
[rule x]
since = nowhere
do = blackout 4s
do = explode
loss = 1%
[device d]
link = nolink
[widget x]
[link looooooooooooooooooooooooooooooooooooooooooooooooooooooooong]
[link c]
rate = 18
queue = 50
corrupt = 101%
[link d
"""
# Line, section and key of each complaint, in order.
COMPLAINTS = [
    (1, "stray: "), (3, "[proxy] listen: "), (4, "[proxy] listn: "), (5, "[proxy] upstream: "), (6, "[proxy] seed: "),
    (7, "[proxy] idle_timeout: "), (8, "[proxy] max_sessions: "), (9, ""), (11, "[link b] latency: "),
    (12, "[link b] loss: "), (13, "[link b]"), (15, "[link b] jitter: "), (16, "[link b]"), (17, "[link b]"),
    (18, "[rule nodo]"), (21, "[rule x] since: "), (23, "[rule x] do: "), (24, "[rule x] loss: "),
    (26, "[device d] link: "), (27, ""), (28, ""), (30, "[link c] rate: "), (31, "[link c] queue: "),
    (32, "[link c] corrupt: "), (33, ""),
]


def lines_of(done):
    return done.stderr.splitlines()


def refused(status, pattern, *words):
    """Checks the exit status, and that a line on standard error matches."""
    done = deadzone(*words)
    check_equal(done.returncode, status, f"exit status of {words}; it said {done.stderr!r}")
    check(re.search(pattern, done.stderr, re.MULTILINE), f"{words} said {done.stderr!r}, nothing like {pattern!r}")
    check_equal(done.stdout, "", f"standard output of {words}")
    return done


@test
def version_and_help(scene):
    done = deadzone("--version")
    check(re.fullmatch(r"deadzone \d+\.\d+\.\d+\n", done.stdout), done.stdout)
    check_equal((done.returncode, done.stderr), (0, ""))
    done = deadzone("--help")
    check_equal((done.returncode, done.stderr), (0, ""))
    for command in ("run", "check", "help"):
        check(re.search(rf"^ +deadzone {command}\b", done.stdout, re.MULTILINE), f"--help lacks {command}")
    done = deadzone("help", "run")
    check_equal((done.returncode, done.stderr), (0, ""))
    for option in ("-c", "-w", "--set", "--json", "-q", "-v"):
        check(re.search(rf"(^|[ ,]){option}\b", done.stdout, re.MULTILINE), f"help run lacks {option}")
    check_equal(deadzone("run", "--help").stdout, done.stdout)


@test
def help_lists_every_ini_section(scene):
    done = deadzone("help", "ini")
    check_equal((done.returncode, done.stderr), (0, ""))
    for section in ("[proxy]", "[capture]", "[device NAME]", "[link NAME]", "[rule NAME]"):
        check(section in done.stdout, f"help ini lacks {section}")
    for key in ("listen", "upstream", "idle_timeout", "gilbert_elliott", "reorder_by", "nth", "expect", "rotate_size"):
        check(re.search(rf"^ +{key}\b", done.stdout, re.MULTILINE), f"help ini lacks {key}")


@test
def wrong_words_are_exit_2(scene):
    refused(2, r"deadzone: .*`rnu`.*`run`|deadzone: .*`rnu`", "rnu")
    refused(2, r"`--conf`.*`--config`", "run", "--conf", "x")
    refused(2, r"`-Z`", "run", "-Z")
    refused(2, r"unexpected argument `extra`.*`-c extra`", "run", "-c", scene.path("a.ini", ""), "extra")
    refused(2, r"^deadzone: run: .*-c", "run")
    refused(2, r"^deadzone: run: ", "run", "-c")
    refused(2, r"^deadzone: check: ", "check")
    refused(2, r"`nothing`", "help", "nothing")
    refused(2, r"deadzone run", *())


@test
def check_says_nothing_of_a_good_file(scene):
    whole = scene.path("whole.ini", "[proxy]\nlisten = 127.0.0.1:0\nupstream = cloud.example:5684\n"
                                    "[link default]\nlatency = 5ms\n[rule r]\nnth = 3 ; the third\ndo = drop\n")
    fragment = scene.path("fragment.ini", "; only a link\n\n[link lab] ; a comment\nloss = 33.333333%\n")
    windows = scene.path("windows.ini")
    windows.write_bytes(b"\xef\xbb\xbf[link lab]\r\nloss = 2%\r\n")
    done = deadzone("check", whole, fragment, windows)
    check_equal((done.returncode, done.stdout, done.stderr), (0, "", ""))


@test
def check_finds_every_error(scene):
    bad = scene.path("bad.ini", BAD)
    done = deadzone("check", bad)
    check_equal(done.returncode, 2)
    check_equal(done.stdout, "")
    lines = lines_of(done)
    for line, (number, where) in zip(lines, COMPLAINTS):
        check(line.startswith(f"{bad}:{number}: {where}"), f"{line!r} is no complaint about line {number}, {where!r}")
    check_equal(len(lines), len(COMPLAINTS), f"complaints:\n{done.stderr}")
    check_equal(lines[2], f"{bad}:4: [proxy] listn: unknown key; did you mean `listen`?")


@test
def check_finds_errors_in_all_files(scene):
    (scene.folder / "sub").mkdir()
    first = scene.path("first.ini", "[proxy]\nlisten = 127.0.0.1:0\nupstream = a:1\ninclude = sub/more.ini, gone.ini\n"
                                    "[link default]\nloss = 2\n[link twice]\n")
    second = scene.path("second.ini", "[link x]\nlatency = 5\n")
    more = scene.path("sub/more.ini", "[link twice]\nlatency = 1x\n[proxy]\nlisten = 127.0.0.1:1\n")
    done = deadzone("check", first, second)
    check_equal(done.returncode, 2)
    for where in (f"{more}:2: [link twice] latency: ", f"{more}:4: [proxy] listen: ", f"{first}:4: [proxy] include: ",
                  f"{first}:6: [link default] loss: ", f"{first}:7: [link twice]", f"{second}:2: [link x] latency: "):
        check(any(line.startswith(where) for line in lines_of(done)), f"{where!r} is missing in\n{done.stderr}")
    check_equal(len(lines_of(done)), 6, done.stderr)


@test
def an_include_loop_is_an_error(scene):
    one = scene.path("one.ini", "[proxy]\ninclude = two.ini\n")
    scene.path("two.ini", "[link a]\n")
    check_equal(deadzone("check", one).returncode, 0)
    scene.path("self.ini", "[proxy]\ninclude = self.ini\n")
    refused(2, r"self\.ini:2: ", "check", scene.path("self.ini"))


@test
def notes_do_not_fail(scene):
    ini = scene.path("note.ini", "[link a]\nrate = 18kbit\nqueue = 1000p\n[device a]\n[device b]\n"
                                 "[rule never]\nsize = 70000-\ndo = drop\n")
    done = deadzone("check", ini)
    check_equal((done.returncode, done.stdout), (0, ""))
    starts = [f"{ini}:3: note: [link a] queue", f"{ini}:5: note: [device b]", f"{ini}:7: note: [rule never] size"]
    check_equal([next((s for s in starts if line.startswith(s)), line) for line in lines_of(done)], starts)


@test
def a_size_that_only_ipv6_carries_can_match(scene):
    """65527 bytes fit into a UDP datagram over IPv6, 65507 over IPv4."""
    done = deadzone("check", scene.path("big.ini", "[rule big]\nsize = 65508-65527\ndo = note\n"))
    check_equal((done.returncode, done.stderr), (0, ""))


@test
def run_needs_listen_and_upstream(scene):
    done = refused(2, r":1: \[proxy\].*listen", "run", "-c", scene.path("a.ini", "[proxy]\nupstream = 127.0.0.1:1\n"))
    check_equal(len(lines_of(done)), 1, done.stderr)
    refused(2, r":1: \[proxy\].*upstream", "run", "-c", scene.path("b.ini", "[proxy]\nlisten = 127.0.0.1:0\n"))
    done = refused(2, r"\[proxy\].*listen", "run", "-c", scene.path("c.ini", "[link default]\n"))
    check_equal(len(lines_of(done)), 2, done.stderr)
    missing = scene.path("missing.ini")
    for words in (("run", "-c", missing), ("check", missing)):
        refused(2, rf"\A{re.escape(str(missing))}: ", *words)


@test
def set_replaces_creates_and_is_checked(scene):
    cloud = scene.cloud()
    ini = f"[proxy]\nlisten = 127.0.0.1:0\nlisten = 127.0.0.1:0\nupstream = {cloud}\n[link default]\nup.loss = 100%\n"
    proxy = scene.start(ini, "--set", "[proxy] listen = 127.0.0.1:0", "--set", "[proxy] seed = 4711",
                        "--set", "[link default] up.loss = 0%", "--set", "[rule made]\tdo=note", ready=1)
    proxy.await_ready()
    check_equal(proxy.seed, 4711)
    check_equal(scene.device(proxy).ask(b"hello"), b"hello")
    summary = proxy.stop()
    check_equal(len([line for line in proxy.lines if " ready " in line]), 1, "all values are replaced")
    check_equal((summary["seed"], summary["rules"]), (4711, {"made": {"matched": 2, "fired": 2}}))
    path = scene.path("set.ini", ini)
    refused(2, r"\[link default\] up\.loss: ", "run", "-c", path, "--set", "[link default] up.loss = 5")
    refused(2, r"\[link default\] uploss: ", "run", "-c", path, "--set", "[link default] uploss = 5%")
    refused(2, r"link default up\.loss = 5%", "run", "-c", path, "--set", "link default up.loss = 5%")


@test
def options_stand_for_settings(scene):
    cloud = scene.cloud()
    ini = "[link default]\nlatency = 9s\n[rule seen]\nnth = 1\ndirection = up\ndo = note\n"
    summary = scene.path("options.json")
    proxy = scene.start(ini, "--listen", "127.0.0.1:0", "--upstream", cloud, "--latency", "40ms", "--seed=5",
                        "--blackout", "1h@3", "--set", "[link default] down.loss = 100%", ready=1)
    proxy.await_ready()
    device = scene.device(proxy)
    device.send(b"one", b"two")
    proxy.when_received(2, "down")
    device.send(b"dark", b"dark too")
    proxy.when_received(4)
    told = proxy.summary_when(lambda s: s["totals"]["up"]["dropped"] == {"blackout": 2}, "two drops by the blackout")
    check_equal((told["seed"], told["totals"]["up"]["dropped"], told["totals"]["down"]["dropped"]), (5, {"blackout": 2}, {"loss": 2}))
    check(40 <= told["totals"]["up"]["delay_ms"]["p50"] < 9000, told["totals"]["up"]["delay_ms"])
    check_equal([told["rules"][name]["fired"] for name in ("blackout", "seen")], [1, 1])
    proxy.stop()
    alone = scene.program(h.BINARY, "run", "--listen", "127.0.0.1:0", "--upstream", cloud)
    alone.told(h.READY.pattern)
    alone.signal(2)
    check_equal(alone.wait(), 0)
    source = scene.path("options.pcap")
    source.write_bytes(pcap(ETHERNET, [framed(ETHERNET, ip(DEVICE, CLOUD, b"x")) for _ in range(20)]))
    done = deadzone("simulate", "-r", source, "--link", "profile:lte", "--loss", "100%", "--json", summary)
    check_equal((done.returncode, read_json(summary)["totals"]["up"]["dropped"]), (0, {"loss": 20}), done.stderr)
    refused(2, r"lacks `upstream = ", "run", "--listen", "127.0.0.1:0")
    refused(2, r"\[link default\] loss: `5` lacks its unit", "run", "--listen", "127.0.0.1:0", "--upstream", cloud, "--loss", "5")
    refused(2, r"`--latency` given twice|given twice", "run", "--latency", "1ms", "--latency", "2ms")
    refused(2, r"pass an ini file with -c, or --listen and --upstream", "run", "-q")


@test
def words_in_the_wrong_place_are_told_where_they_belong(scene):
    capture = scene.path("x.pcap")
    capture.write_bytes(pcap(ETHERNET, []))
    for words, told in ((("simulate", "-c", "x.ini", "field.pcap"), "pass the capture with -r, `-r field.pcap`"),
                        (("run", "--set", "[link", "default]", "loss", "=", "5%"), "quote the whole setting"),
                        (("run", "-c", "profile:lte"), "`include = profile:lte` in [proxy]"),
                        (("tell", "blackout", "40s"), 'deadzone tell do "blackout T'),
                        (("tell", "set", "[proxy] seed = 5"), "[proxy] cannot be changed while it runs"),
                        (("check", capture), "is a capture, not an ini file"),
                        (("report", "--html"), "`--html` needs a value")):
        done = deadzone(*words)
        check_equal((done.returncode, done.stdout), (2, ""), words)
        check(told in done.stderr, f"{told!r} is not in {done.stderr!r}")


@test
def what_cannot_be_had_at_start(scene):
    cloud = scene.cloud()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        taken = scene.path("taken.ini", f"[proxy]\nlisten = 127.0.0.1:{port}\nupstream = {cloud}\n")
        refused(1, rf"^deadzone: .*127\.0\.0\.1:{port}", "run", "-c", taken)
    foreign = scene.path("foreign.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\nsource = 127.0.0.1, 192.0.2.1\n")
    refused(1, r"source `192\.0\.2\.1` cannot be used: .*not an address of this machine", "run", "-c", foreign)
    proxy = scene.proxy(upstream=cloud)
    taken = scene.path("taken.ini", f"[proxy]\nlisten = 127.0.0.1:{proxy.port}\nupstream = {cloud}\n")
    refused(1, rf"^deadzone: .*127\.0\.0\.1:{proxy.port}", "run", "-c", taken)
    check_equal(scene.device(proxy).ask(b"undisturbed"), b"undisturbed")
    ini = scene.path("good.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\n")
    for option in ("-w", "--json"):
        nowhere = scene.folder / "nowhere" / "file"
        refused(2, rf"^deadzone: .*{re.escape(str(nowhere))}", "run", "-c", ini, option, nowhere)


@test
def quiet_says_only_the_ready_line(scene):
    cloud = scene.cloud()
    proxy = scene.proxy("[rule never]\nnth = 1000\ndo = drop", "-q", upstream=cloud)
    scene.device(proxy).ask(b"hush")
    proxy.stop()
    check_equal(len(proxy.lines), 1, proxy.text)


@test
def profiles_are_listed_shown_and_named(scene):
    done = deadzone("profiles")
    check_equal(done.returncode, 0)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    for name in names:
        done = deadzone("profiles", name)
        check_equal((done.returncode, done.stdout), (0, (h.TOP / f"rules/profiles/{name}.ini").read_text()))
    done = deadzone("profiles", "gprs-rurall")
    check_equal((done.returncode, done.stdout), (2, ""))
    check("did you mean `gprs-rural`?" in done.stderr, done.stderr)
    check_equal(deadzone("profiles", "../../README").returncode, 2)
    proxy = scene.proxy("[device one]\nlink = profile:wifi-lossy\nlike = profile:nat-60s\n[link mine]\nlike = profile:lte\n"
                        "loss = 0%\n", upstream=scene.cloud())
    scene.device(proxy).send(b"hello")
    proxy.when_received(1)
    check_equal(proxy.stop()["sessions"][0]["link"], "profile:wifi-lossy")
    # --set changes it by its own name, like an included one.
    for more, keys in (("[device one]\nlink = profile:lte\n", ""), ("", "include = profile:lte\n")):
        proxy = scene.proxy(more, "--set", "[link lte] loss = 100%", upstream=scene.cloud(), keys=keys)
        scene.device(proxy).send(b"lost")
        summary = proxy.summary_when(lambda s: s["totals"]["up"]["received"] == 1)
        check_equal(summary["totals"]["up"]["dropped"], {"loss": 1}, more or keys)
        proxy.stop()


@test
def an_included_file_may_hold_a_proxy_section(scene):
    """The keys of the including file win; --set replaces its `include`."""
    cloud = scene.cloud()
    scene.path("common.ini", "[proxy]\nseed = 9\nmax_sessions = 5\n")
    other = scene.path("other.ini", "[proxy]\nseed = 11\n")
    main = scene.path("main.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\ninclude = common.ini\n")
    for words, seed in (((), 9), (("--set", "[proxy] seed = 3"), 3), (("--set", f"[proxy] include = {other}"), 11)):
        proxy = scene.start(main.read_text().replace("common.ini", str(scene.folder / "common.ini")), *words).await_ready()
        check_equal(proxy.seed, seed, words)
        proxy.stop()


@test
def a_rule_that_never_fired_is_told(scene):
    proxy = scene.proxy("[rule lonely]\nnth = 1000\ndo = drop", upstream=scene.cloud())
    scene.device(proxy).ask(b"hello")
    summary = proxy.stop()
    check(re.search(r"lonely.*never fired", proxy.text), proxy.text)
    check_equal((summary["exit"], summary["failed"]), (0, []))
    check_equal(summary["rules"], {"lonely": {"matched": 2, "fired": 0}})


@test
def a_random_seed_is_printed_and_another_each_time(scene):
    seeds = set()
    for _ in range(2):
        proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n", capture=False)
        proxy.await_ready()
        check_equal(proxy.stop()["seed"], proxy.seed)
        seeds.add(proxy.seed)
    check_equal(len(seeds), 2)


if __name__ == "__main__":
    h.run_all()
