#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The sandbox: what it refuses to the program inside, messages about files that it hides, and what root keeps.

bite.c is loaded into the plain binary, because the search for leaks needs what the sandbox refuses.
"""

import contextlib
import datetime
import os
import pathlib
import re
import shutil
import signal
import subprocess

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
os.environ["DEADZONE_BINARY"] = str(TOP / "build/deadzone")  # before the harness reads it

from checks import Skip, check, check_equal, run, until  # noqa: E402
from harness import BINARY, run_all, test  # noqa: E402

CAPTURE = TOP / "test/data/dtls12-cid-mbedtls.pcapng"

EVERYWHERE = {
    "fork": "EPERM", "execve": "EPERM", "ptrace": "EPERM", "kill": "EPERM", "setuid": "EPERM", "unshare": "EPERM",
    "mount": "EPERM", "thread": "ok", "read-passwd": "EACCES", "read-device": "EACCES", "read-random": "ok", "read-outside": "EACCES", "write-outside": "EACCES",
    "create-outside": "EACCES", "remove-outside": "EACCES", "folder-inside": "EPERM", "create-inside": "ok",
    "rename-inside": "ok", "remove-inside": "ok", "fchmod": "EPERM", "chmod": "EPERM",
    "create-set-user-id": "EPERM", "truncate-reading": "EPERM", "truncate-writing": "ok", "pipe": "ok",
    "signal-by-descriptor": "EPERM", "choose-signal": "EPERM", "limits-of-another": "EPERM", "own-limits": "ok",
    "priority-of-another": "EPERM", "memfd": "EPERM", "memory-to-write-and-execute": "EPERM", "memory": "ok",
    "bpf": "EPERM", "io_uring": "ENOSYS", "process_vm_writev": "EPERM", "packet": "EPERM", "raw": "EPERM",
    "raw6": "EPERM", "netfilter": "EPERM", "vsock": "EPERM"}
SOCKETS = ("udp", "tcp", "udp6", "tcp6", "unix", "unix-datagram", "route")
WITH_NETWORK = {**EVERYWHERE, **{name: "ok" for name in SOCKETS}}
WITHOUT_NETWORK = {**EVERYWHERE, **{name: "EPERM" for name in SOCKETS}}


class Bite:
    """Loads bite.c into a program whose outputs are in the folder `inside`."""

    def __init__(self, scene, inside):
        outside = scene.path("outside")
        outside.mkdir()
        (outside / "there").write_text("it stands outside the sandbox")
        self.results = scene.path("bite")
        self.environment = dict(os.environ, LD_PRELOAD=str(TOP / "build/bite.so"), BITE=str(self.results),
                                BITE_OUTSIDE=str(outside), BITE_INSIDE=str(inside))

    def outcomes(self):
        lines = until(lambda: self.results.exists() and self.results.read_text().endswith("end\n")
                      and self.results.read_text().splitlines(), "all attempts")
        return dict(line.split() for line in lines[:-1])

    def must_be(self, wanted):
        got = self.outcomes()
        check_equal({name: got[name] for name in got if got[name] != wanted.get(name)}, {}, f"other outcomes, of {got}")
        check_equal(set(got), set(wanted))


def restricted(program):
    """Returns the lines of /proc/PID/status that show what a process has given up."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{program.pid}/status").read_text().splitlines())
    return {key: status[key].strip() for key in ("NoNewPrivs", "Seccomp", "CapEff", "CapPrm")}


@test
def run_is_bitten(scene):
    cloud = scene.cloud()
    bite = Bite(scene, scene.path("run0"))
    proxy = scene.proxy(upstream=cloud, env=bite.environment)
    check_equal(scene.device(proxy).ask(b"hello"), b"hello")
    bite.must_be(WITH_NETWORK)
    proxy.stop()


@test
def report_is_bitten(scene):
    inside = scene.path("pages")
    inside.mkdir()
    bite = Bite(scene, inside)
    done = run(BINARY, "report", "--html", inside / "page.html", CAPTURE, env=bite.environment)
    check_equal(done.returncode, 0, done.stderr)
    bite.must_be(WITHOUT_NETWORK)
    check("<html" in (inside / "page.html").read_text(), "the page is written")


@test
def simulate_is_bitten(scene):
    inside = scene.path("out")
    inside.mkdir()
    bite = Bite(scene, inside)
    done = run(BINARY, "simulate", "-q", "--loss", "5%", "-r", CAPTURE, "-w", inside / "out.pcapng", env=bite.environment)
    check_equal(done.returncode, 0, done.stderr)
    bite.must_be(WITHOUT_NETWORK)


@test
def replay_rules_is_bitten(scene):
    """The capture is read inside the sandbox. The command runs outside, since it may start any program."""
    cloud = scene.cloud()
    proxy = scene.proxy("[rule first]\nnth = 1\ndo = drop\n", upstream=cloud)
    scene.device(proxy).send(b"hello")
    proxy.when_received(1)
    proxy.stop()
    inside = scene.path("rules")
    inside.mkdir()
    bite = Bite(scene, inside)
    started = scene.path("started")
    command = f"sh -c 'echo $DEADZONE_RULES >> {started}; unset LD_PRELOAD; ! grep -q drop $DEADZONE_RULES'"
    done = run(BINARY, "replay-rules", proxy.capture, "-o", inside / "rules.ini", "--shrink", command,
               env=bite.environment)
    check_equal(done.returncode, 0, done.stderr)
    check(f"{inside / 'rules.ini'}\n" in started.read_text(), "the command gets the name of the rules' file")
    bite.must_be(WITHOUT_NETWORK)


@test
def without_the_sandbox_nothing_is_refused(scene):
    """The attempts succeed here, so it is the sandbox that refuses them in the tests above."""
    if os.geteuid():
        raise Skip("only root may do what bite.c tries")
    bite = Bite(scene, scene.path("run0"))
    cloud = scene.cloud()
    proxy = scene.proxy("", "--no-sandbox", upstream=cloud, env=dict(bite.environment, BITE=""))
    got = restricted(proxy)
    check_equal((got["NoNewPrivs"], got["Seccomp"]), ("0", "0"))
    proxy.stop()
    inside = scene.path("pages")
    inside.mkdir()
    done = run(BINARY, "report", "--no-sandbox", "--html", inside / "page.html", CAPTURE, env=dict(
        bite.environment, BITE_INSIDE=str(inside), BITE_GENTLY="1"))
    check_equal(done.returncode, 0, done.stderr)
    refused = {name: what for name, what in bite.outcomes().items() if what != "ok"}
    check_equal(set(refused) - {"vsock", "bpf", "io_uring", "process_vm_writev"}, set())


@test
def run_holds_no_capability(scene):
    proxy = scene.proxy(upstream=scene.cloud())
    check_equal(restricted(proxy), {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16})
    proxy.stop()


@test
def threads_have_their_names(scene):
    """To name a thread from another one takes a file in /proc."""
    proxy = scene.proxy(upstream=scene.cloud(), keys="workers = 2")
    tasks = pathlib.Path(f"/proc/{proxy.pid}/task")
    wanted = ["capture", "deadzone", "output", "worker-1", "worker-2"]
    until(lambda: sorted((task / "comm").read_text().strip() for task in tasks.iterdir()) == wanted, f"threads {wanted}")
    proxy.stop()


@test
def root_keeps_the_folders_of_others(scene):
    """A run that is started with sudo in a user's folder can still make its captures there."""
    if os.geteuid():
        raise Skip("only root can make files of other users")
    folder = scene.path("of-another")
    folder.mkdir(mode=0o755)
    os.chown(folder, 12345, 12345)
    proxy = scene.proxy("", "-v", "-w", folder / "a.pcapng", upstream=scene.cloud(), capture=False)
    proxy.told("CAP_DAC_OVERRIDE stays")
    check_equal(scene.device(proxy).ask(b"hello"), b"hello")
    proxy.signal(signal.SIGUSR2)
    proxy.told("the capture goes on in")
    proxy.stop()
    check_equal(len(list(folder.glob("*.pcapng"))), 2)


def outside(pattern):
    return rf"{pattern}.*it is outside the sandbox: restart, or --no-sandbox"


@test
def a_reload_that_names_a_file_outside(scene):
    elsewhere = scene.path("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "more.ini").write_text("[link default]\nlatency = 1ms\n")
    proxy = scene.proxy(upstream=scene.cloud())
    before = proxy.ini.read_text()
    proxy.ini.write_text(before.replace("[proxy]", f"[proxy]\ninclude = {elsewhere / 'more.ini'}"))
    proxy.signal(signal.SIGHUP)
    proxy.told(outside("more.ini"))
    proxy.ini.write_text(before)
    (proxy.folder / "more.ini").write_text("[link default]\nlatency = 1ms\n")
    proxy.ini.write_text(before.replace("[proxy]", "[proxy]\ninclude = more.ini"))
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok generation=2")
    proxy.stop()


@test
def a_capture_folder_made_anew(scene):
    folder = scene.path("captures")
    folder.mkdir()
    proxy = scene.proxy("", "-w", folder / "a.pcapng", upstream=scene.cloud(), capture=False)
    device = scene.device(proxy)
    shutil.rmtree(folder)
    until(lambda: device.ask(b"hello") and "No such file" in proxy.text, "the removal to be noticed")
    folder.mkdir()
    until(lambda: device.ask(b"hello") and re.search(outside("capture: .*a.pcapng"), proxy.text), "the message")
    proxy.signal(signal.SIGTERM)
    check_equal(proxy.wait(), 0)
    check_equal(list(folder.iterdir()), [])
    check(proxy.summary["capture"]["lost"] > 0, f"records that are not written are counted: {proxy.summary['capture']}")


@test
def key_logs_that_come_later_or_are_hidden(scene):
    proxy = scene.proxy(f"[capture]\nkeylog = {scene.folder}/run0/later/keys\n", upstream=scene.cloud())
    later = proxy.folder / "later"
    later.mkdir()
    (later / "keys").write_text(f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n")
    device = scene.device(proxy)
    until(lambda: device.ask(b"hello") and b"CLIENT_RANDOM" in proxy.capture.read_bytes(), "the key in the capture")
    proxy.stop()
    folder = scene.path("keys")
    folder.mkdir()
    proxy = scene.proxy(f"[capture]\nkeylog = {folder}/keys\n", upstream=scene.cloud())
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "keys").write_text("CLIENT_RANDOM\n")
    proxy.told(outside("keylog: .*keys"))
    proxy.stop()


@test
def outputs_that_are_links_or_named_by_the_time(scene):
    target = scene.path("target")
    target.mkdir()
    links = scene.path("links")
    links.mkdir()
    for name in ("run.pcapng", "junit.xml", "page.html"):
        (links / name).symlink_to(f"../target/{name}")
    year = scene.path(str(datetime.datetime.now().year))
    year.mkdir()
    proxy = scene.proxy("", "-w", links / "run.pcapng", "--junit", links / "junit.xml", upstream=scene.cloud(), capture=False)
    proxy.stop()
    check_equal(run(BINARY, "report", "--html", links / "page.html", CAPTURE).returncode, 0)
    check_equal(sorted(path.name for path in target.iterdir()), ["junit.xml", "page.html", "run.pcapng"])
    proxy = scene.proxy("", "-w", f"{scene.folder}/%Y/run.pcapng", upstream=scene.cloud(), capture=False)
    proxy.stop()
    check_equal([path.name for path in year.iterdir()], ["run.pcapng"])


@test
def root_replaces_the_files_of_others(scene):
    """The folder is sticky and root's own, like /tmp; only another user may read the token."""
    if os.geteuid():
        raise Skip("only root can make files of other users")
    folder = scene.path("like-tmp")
    folder.mkdir()
    folder.chmod(0o1777)
    for name in ("summary.json", "page.html", "token"):
        (folder / name).write_text("secret\n")
        (folder / name).chmod(0o600)
        os.chown(folder / name, 12345, 12345)
    proxy = scene.proxy(f"[control]\nlisten = unix:{scene.folder}/c\ntoken = {folder}/token\n", "-w", scene.path("c.pcapng"),
                        upstream=scene.cloud(), capture=False, ready=1)
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok")
    proxy.stop()
    check("token" not in proxy.text, proxy.text)
    check_equal(run(BINARY, "report", "--html", folder / "page.html", CAPTURE).returncode, 0)


@test
def many_captures_and_few_files(scene):
    folder = scene.path("many")
    folder.mkdir()
    for number in range(60):
        shutil.copy(CAPTURE, folder / f"{number}.pcapng")
    words = f"ulimit -n 80; exec {BINARY} report {folder}/*.pcapng"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    check_equal((done.returncode, done.stderr), (0, ""))
    done = subprocess.run(["bash", "-c", words.replace("80", "40")], capture_output=True, text=True, check=False)
    check_equal(done.returncode, 2)
    check("Too many open files" in done.stderr and "sandbox" not in done.stderr, done.stderr)


def programs_of_session(leader):
    """Returns the names of the programs that run in a session, by the PID of its leader."""
    names = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, rest = re.search(r"\((.*)\) (.*)", stat.read_text()).groups()
            if rest.split()[3] == str(leader):
                names.append(name)
    return names


@test
def ctrl_c_while_rules_are_shrunk(scene):
    """The command ends, and the smallest set so far is written."""
    cloud = scene.cloud()
    proxy = scene.proxy("[rule some]\nnth = 1-4\ndo = drop\n", upstream=cloud)
    device = scene.device(proxy)
    for number in range(4):
        device.send(b"hello %d" % number)
    proxy.when_received(4)
    proxy.stop()
    rules, runs = scene.path("rules.ini"), scene.path("runs")
    # Fails as long as any rule is left; the fourth run waits for the signal.
    command = f"echo run >> {runs}; [ $(wc -l < {runs}) -lt 4 ] || sleep 30; ! grep -q drop $DEADZONE_RULES"
    shrinking = scene.program(BINARY, "replay-rules", proxy.capture, "-o", rules, "--shrink", command, start_new_session=True)
    # Not before `sleep` has started: a shell that evaluates its words may survive the signal.
    until(lambda: "sleep" in programs_of_session(shrinking.pid), "the fourth run to wait")
    os.killpg(shrinking.pid, signal.SIGINT)
    check_equal(shrinking.wait(), 1)
    shrinking.told(r"\d of 4 are left so far; they are in")
    check("drop" in rules.read_text(), "the test fails with the written rules")


@test
def a_hosts_file_that_is_replaced(scene):
    """Lookups go on with the files that they can read, and a message says so."""
    if shutil.which("unshare") is None or os.geteuid():
        raise Skip("needs root and unshare, to mount a file system")
    cloud = scene.cloud()
    etc = scene.path("etc")
    etc.mkdir()
    for name in ("passwd", "group", "ld.so.cache", "nsswitch.conf"):
        if os.path.exists(f"/etc/{name}"):
            shutil.copy(f"/etc/{name}", etc)
    (etc / "hosts").write_text("127.0.0.1 cloud.test\n")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    ini = scene.path("lab.ini", f"[proxy]\nlisten = 127.0.0.1:0\nupstream = cloud.test:{cloud.port}\n")
    proxy = scene.program("unshare", "--mount", "sh", "-c", f"mount --bind {etc} /etc && exec {BINARY} run -c {ini}")
    port = int(proxy.told(r"ready listen=127\.0\.0\.1:(\d+)")[1])
    check_equal(scene.device(("127.0.0.1", port)).ask(b"hello"), b"hello")
    (etc / "new").write_text("127.0.0.1 other.test\n")
    (etc / "new").rename(etc / "hosts")
    ini.write_text(ini.read_text().replace("cloud.test", "other.test"))
    proxy.signal(signal.SIGHUP)
    proxy.told(r"upstream other.test:\d+ was looked up without /etc/hosts, which has been replaced: it is outside the sandbox")
    proxy.signal(signal.SIGTERM)
    check_equal(proxy.wait(), 0)


@test
def a_link_that_is_changed_as_a_config_map_is(scene):
    """..data links to a folder; an update makes another one, and renames a new ..data over the old one."""
    volume = scene.path("volume")
    cloud = scene.cloud()
    text = f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {cloud}\n[link default]\nlatency = %s\n"
    for name, latency in (("..1", "1ms"), ("..2", "2ms")):
        (volume / name).mkdir(parents=True)
        (volume / name / "lab.ini").write_text(text % latency)
    (volume / "..data").symlink_to("..1")
    (volume / "lab.ini").symlink_to("..data/lab.ini")
    proxy = scene.program(BINARY, "run", "-c", volume / "lab.ini")
    proxy.told("ready listen=")
    (volume / "..new").symlink_to("..2")
    (volume / "..new").rename(volume / "..data")
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok generation=2")
    proxy.signal(signal.SIGTERM)
    check_equal(proxy.wait(), 0)


@test
def inputs_that_must_be_copied(scene):
    """Pipes and compressed captures are copied to temporary files, whose folder is outside the sandbox."""
    packed = scene.path("a.pcapng.gz")
    packed.write_bytes(subprocess.run(["gzip", "-c", CAPTURE], stdout=subprocess.PIPE, check=True).stdout)
    plain = run(BINARY, "report", CAPTURE)
    check_equal(plain.returncode, 0)
    for words in ([packed], ["-"]):
        with open(packed, "rb") as stdin:
            done = subprocess.run([BINARY, "report", *words], stdin=stdin, capture_output=True, text=True, check=False)
        check_equal((done.returncode, done.stdout, done.stderr), (0, plain.stdout, ""))
    done = subprocess.run(["bash", "-c", f"{BINARY} report <(zcat {packed})"], capture_output=True, text=True, check=False)
    check_equal((done.returncode, done.stdout, done.stderr), (0, plain.stdout, ""))


@test
def outputs_that_are_no_files(scene):
    for words in (["--html", "/dev/null"], ["--html", "/dev/stdout"], ["--html", "/dev/fd/1"]):
        done = run(BINARY, "report", *words, CAPTURE)
        check_equal((done.returncode, done.stderr), (0, ""))
        check_equal("<html" in done.stdout, "null" not in words[1])


@test
def a_kernel_without_it(scene):
    """If a container refuses Landlock and seccomp, -v says so and the run goes on."""
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    done = run("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=landlock_create_ruleset,seccomp,prctl:error=ENOSYS",
               BINARY, "simulate", "-v", "--loss", "5%", "-r", CAPTURE)
    check_equal(done.returncode, 0, done.stderr)
    for part in ("no_new_privs", "Landlock", "seccomp"):
        check(f"sandbox: without {part}: " in done.stderr, done.stderr)


if __name__ == "__main__":
    run_all()
