#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`deadzone campaign`: cases, units, outcomes, resuming, cleaning up, searches, sweeps, reports."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import time
import xml.etree.ElementTree as xml

import dtls
import harness as h
from harness import check, check_equal, test

DEVICE = h.TOP / "test/campaign/device.py"
NETWORK = "[proxy]\nlisten = 127.0.0.1:0\nupstream = {upstream}\n[rule cut]\ndirection = up\nnth = 9999\ndo = drop\n"
# Probe 2 is dropped in one cell and nothing in the other.
MATRIX = "[axis cut]\nset = [rule cut] nth\nvalues = 9999, 2\nnames = clean, cut\n"
PATIENCE = 120


class Campaign:
    """A campaign file with a network and a cloud of its own, and the results of running it."""

    def __init__(self, scene, more="", keys="seeds = 1-2\n", device=f"{DEVICE}", network=NETWORK, upstream=None):
        self.scene = scene
        self.file = scene.path("campaign.ini", f"[campaign]\nconfig = net.ini\ntest = {device}\n{keys}{more}")
        scene.path("net.ini", network.format(upstream=upstream or scene.cloud()))
        self.folder = scene.path("out")

    def run(self, *words, status=0, folder=True, patience=PATIENCE, **options):
        where = ["-o", self.folder] if folder else []
        done = h.deadzone("campaign", "-c", self.file, *where, *words, patience=patience, **options)
        check_equal(done.returncode, status, f"exit status; it said:\n{done.stderr}{done.stdout}\n")
        return done

    def start(self, *words):
        return self.scene.program(h.BINARY, "campaign", "-c", self.file, "-o", self.folder, *words)

    def result(self, unit):
        return json.loads((self.folder / "units" / unit / "result.json").read_text())

    @property
    def json(self):
        return json.loads((self.folder / "campaign.json").read_text())

    @property
    def outcomes(self):
        return {case["id"]: case["outcome"] for case in self.json["cases"]}


def processes_with(mark):
    """Returns the processes whose command line contains the mark."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


# ---- Cases, units, reports ----


@test
def a_matrix(scene):
    campaign = Campaign(scene, MATRIX)
    done = campaign.run(status=3)
    check_equal(campaign.outcomes, {"m/clean/1": "pass", "m/clean/2": "pass", "m/cut/1": "fail", "m/cut/2": "fail"})
    check("0 of 2" in done.stdout and "FAILED  m/cut" in done.stdout, done.stdout)
    failed = campaign.result("m/cut/1")
    check_equal((failed["status"], failed["seed"], failed["axes"]), (1, 1, {"cut": "cut"}))
    check_equal(failed["measures"]["echoes"], 4.0)
    check_equal(failed["summary"]["rules"]["cut"]["fired"], 1)
    passed = campaign.result("m/clean/1")["measures"]
    check_equal((passed["bytes_up"], passed["datagrams"], passed["handshakes"]), (5 * 7 + 3, 12, 0))
    check(0 < passed["network_seconds"] <= passed["seconds"], passed)
    kept = {path.name for path in (campaign.folder / "units/m/cut/1").iterdir()}
    check({"run.pcapng", "test.log", "proxy.log", "case.ini", "result.json", "report.html"} <= kept, kept)
    kept = {path.name for path in (campaign.folder / "units/m/clean/1").iterdir()}
    check_equal(kept, {"case.ini", "result.json"}, "files kept of a case that passed")
    check_equal(h.deadzone("check", campaign.folder / "units/m/cut/1/case.ini").stderr, "", "case.ini passes the check")
    page = (campaign.folder / "report.html").read_text()
    check("http://" not in page.replace("http://www.w3.org/2000/svg", "") and "src=" not in page, "the page loads nothing")


@test
def a_case_is_repeated_by_its_ini_file(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 5\n")
    campaign.run(status=3)
    ini = (campaign.folder / "units/m/cut/5/case.ini").read_text()
    check("seed = 5" in ini and "nth = 2" in ini, ini)
    proxy = scene.start(ini).await_ready()
    device = scene.device(proxy)
    device.ask(b"probe 0")
    device.send(b"probe 1")
    check_equal(device.ask(b"probe 2"), b"probe 2", "the probe after the dropped one")
    check_equal(proxy.stop()["rules"]["cut"]["fired"], 1)


@test
def tables_and_traces_are_kept_beside_a_case(scene):
    scene.path("cell.trace", "\n".join(str(ms) for ms in range(1, 50)) + "\n")
    scene.path("table.txt", "-8192 0 8192\n")
    campaign = Campaign(scene, MATRIX, keys="seeds = 1\n", network=NETWORK +
                        "[link default]\nup.trace = cell.trace\njitter = 1ms\ndistribution = file table.txt\nlatency = 2ms\n")
    campaign.run(status=3)
    kept, passed = (campaign.folder / f"units/m/{name}/1" for name in ("cut", "clean"))
    check_equal(sorted(path.name for path in kept.glob("[12]-*")), ["1-cell.trace", "2-table.txt"])
    check("trace = 1-cell.trace" in (kept / "case.ini").read_text() and "file 2-table.txt" in (kept / "case.ini").read_text(), kept)
    check_equal(sorted(path.name for path in passed.iterdir()), ["case.ini", "result.json"])
    for folder in (kept, passed):
        check_equal(h.deadzone("check", folder / "case.ini").stderr, "", f"the check of {folder}/case.ini")


@test
def junit_agrees_with_the_exit_status(scene):
    campaign = Campaign(scene, MATRIX)
    campaign.run("--only", "m/clean/*", "--junit-units", scene.path("units.xml"), status=1)
    suite = xml.parse(campaign.folder / "junit.xml").getroot()
    check_equal([suite.get(k) for k in ("tests", "failures", "errors")], ["2", "0", "1"], "one cell has not run")
    campaign.run("--junit-units", scene.path("units.xml"), status=3)
    suite = xml.parse(campaign.folder / "junit.xml").getroot()
    check_equal([suite.get(k) for k in ("tests", "failures", "errors")], ["2", "1", "0"])
    text = suite.find("testcase/failure").text
    check("m/cut/1" in text and "4 of 5 came back" in text, text)
    suite = xml.parse(scene.path("units.xml")).getroot()
    check_equal([suite.get(k) for k in ("tests", "failures", "errors")], ["4", "2", "0"])


@test
def it_goes_on_where_it_stopped(scene):
    campaign = Campaign(scene, MATRIX)
    campaign.run("--only", "m/clean/*", status=1)
    before = (campaign.folder / "units/m/clean/1/result.json").stat().st_ino
    done = campaign.run(status=3)
    check("m/clean/1  " not in done.stderr and "m/cut/2  " in done.stderr, done.stderr)
    check_equal((campaign.folder / "units/m/clean/1/result.json").stat().st_ino, before, "the case was not run again")
    campaign.run("--again", "--only", "m/clean/1", status=3)
    check((campaign.folder / "units/m/clean/1.old-1/result.json").exists(), "the old result is kept beside the new one")
    check_equal(len(campaign.outcomes), 4, "the old result is not counted")
    # A campaign may grow, but what its finished cases depend on may not change.
    campaign.run("--set", "[campaign] seeds = 1-3", status=3)
    check_equal(len(campaign.outcomes), 6)
    done = campaign.run("--set", "[campaign] test = false", status=2)
    check("test differs" in done.stderr, done.stderr)
    done = campaign.run("--set", "[link default] loss = 1%", status=2)
    check("cell" in done.stderr and "differs" in done.stderr, done.stderr)


@test
def units_and_shards(scene):
    campaign = Campaign(scene, MATRIX)
    listed = campaign.run("--list").stdout.split()
    check_equal(sorted(listed), ["m/clean/1", "m/clean/2", "m/cut/1", "m/cut/2"])
    for shard in (1, 2, 3):
        campaign.run("--shard", f"{shard}/3")
    check(not (campaign.folder / "campaign.json").exists(), "a shard writes no report")
    check_equal({u: campaign.result(u)["outcome"] for u in listed}, {u: "fail" if "cut/" in u else "pass" for u in listed})
    campaign.run("--report", status=3)
    check_equal(len(campaign.outcomes), 4)
    # The report can be made from campaign.json alone.
    shutil.rmtree(campaign.folder / "units")
    campaign.run("--report", status=3)
    check_equal(len(campaign.outcomes), 4)
    other = Campaign(scene, MATRIX)
    other.folder = scene.path("other")
    other.run("--unit", "-", input="m/cut/2\nm/clean/1\n", stdin=None)
    check_equal(sorted(path.parent.parent.name for path in other.folder.glob("units/m/*/*/result.json")), ["clean", "cut"])
    check("there is no unit `m/cut/9`" in campaign.run("--unit", "m/cut/9", status=2).stderr, "an unknown unit")
    done = other.run("--unit", "m/cut/1", folder=False)
    folder = pathlib.Path(done.stderr.split("results go to ")[1].split()[0])
    check((folder / "units/m/cut/1/result.json").exists(), done.stderr)
    shutil.rmtree(folder)


@test
def prepare_and_cleanup(scene):
    log = scene.path("log")
    scene.path("prepare.sh", f"""set -eu
echo "[rule cut] nth = 1" >> "$DEADZONE_SET"
echo COLOUR=green >> "$DEADZONE_ENV"
echo "prepare $DEADZONE_CASE $DEADZONE_AXIS_FW $DEADZONE_SEED" >> {log}
""")
    scene.path("cleanup.sh", f'echo "cleanup $DEADZONE_CASE $DEADZONE_OUTCOME $COLOUR $DEADZONE_PORT" >> {log}\n')
    campaign = Campaign(scene, "[axis fw]\nvalues = 1.2.3\n", device=f"test $COLOUR = green && {DEVICE}",
                        keys="seeds = 4\nprepare = sh prepare.sh\ncleanup = sh cleanup.sh\n")
    campaign.run(status=3)
    said = log.read_text().splitlines()
    check_equal(said[0], "prepare m/1.2.3/4 1.2.3 4")
    check_equal(said[1].split()[:4], ["cleanup", "m/1.2.3/4", "fail", "green"])
    check(int(said[1].split()[4]) > 0, said)
    check_equal(campaign.result("m/1.2.3/4")["summary"]["rules"]["cut"]["fired"], 1)
    scene.path("prepare.sh", 'echo "[rule cut] nth = often" >> "$DEADZONE_SET"\n')
    campaign.folder = scene.path("wrong")
    campaign.run(status=1)
    result = campaign.result("m/1.2.3/4")
    check(result["outcome"] == "invalid" and "often" in result["reason"], result)
    check((campaign.folder / "units/m/1.2.3/4.old-1").is_dir(), "the case was tried again")


@test
def a_cloud_of_its_own_for_each_case(scene):
    scene.path("cloud.py", """import os, socket, sys
cloud = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); cloud.bind(("127.0.0.1", 0))
with open(os.environ["DEADZONE_SET"], "a") as out: out.write("[proxy] upstream = 127.0.0.1:%d\\n" % cloud.getsockname()[1])
if os.fork() == 0:
    os.setsid()
    while True:
        data, device = cloud.recvfrom(2000); cloud.sendto(data, device)
""")
    campaign = Campaign(scene, keys=f"seeds = 1-4\njobs = 2\nprepare = {sys.executable} cloud.py {scene.folder}\n",
                        network=NETWORK.replace("upstream = {upstream}\n", ""))
    campaign.run()
    check_equal(set(campaign.outcomes.values()), {"pass"})
    check_equal(processes_with(f"cloud.py\0{scene.folder}"), [], "clouds that still run")


@test
def outcomes(scene):
    scene.path("test.sh", f'{DEVICE} && case $DEADZONE_AXIS_END in kill) kill -9 $$;; hang) sleep 600;; *) exit $DEADZONE_AXIS_END;; esac\n')
    campaign = Campaign(scene, "[axis end]\nvalues = 0, 3, 77, 125, kill, hang\n", device="sh test.sh",
                        keys="seeds = 1\njobs = 3\nretry = 0\ntimeout = end=hang 10s\n")
    campaign.run(status=3)
    check_equal({unit.split("/")[1]: outcome for unit, outcome in campaign.outcomes.items()},
                {"0": "pass", "3": "fail", "77": "skip", "125": "invalid", "kill": "fail", "hang": "timeout"})
    killed = campaign.result("m/kill/1")
    check(killed.get("signal") == 9 or killed["status"] == 128 + 9, killed)
    silent = Campaign(scene, keys="seeds = 1\nretry = 0\n", device="true")
    silent.folder = scene.path("silent")
    silent.run(status=1)
    check("no session" in silent.result("m/all/1")["reason"], "the reason says that nothing reached the proxy")
    missing = Campaign(scene, keys="seeds = 1-5\n", device="./no-such-program")
    missing.folder = scene.path("missing")
    check("cannot be run" in missing.run(status=2).stderr, "the first case ends the campaign at once")


@test
def an_expectation_that_is_not_met(scene):
    campaign = Campaign(scene, keys="seeds = 1\nretry = 0\n", network=NETWORK + "expect = 1\n")
    campaign.run(status=1)
    result = campaign.result("m/all/1")
    check_equal(result["outcome"], "invalid")
    check_equal(result["unmet"], ["rule `cut` fired 0 times, wanted 1"])


@test
def another_subject_is_refused(scene):
    version = scene.path("version", "v1\n")
    campaign = Campaign(scene, keys=f"seeds = 1\nsubject = cat {version}\n")
    campaign.run()
    check_equal(campaign.json["subject"], "v1")
    version.write_text("v2\n")
    done = campaign.run(status=2)
    check("v1" in done.stderr and "v2" in done.stderr, done.stderr)
    version.unlink()
    done = campaign.run(status=2)
    check(f"subject: `cat {version}` failed with status 1\n" in done.stderr, done.stderr)


@test
def errors_are_told_before_anything_runs(scene):
    campaign = Campaign(scene, "[axis loss]\nset = [link default] loss\nvalues = 1%, lots\n")
    done = campaign.run(status=2)
    check("cell `lots`" in done.stderr and not campaign.folder.exists(), done.stderr)
    check_equal(h.deadzone("check", campaign.file).returncode, 2)
    campaign = Campaign(scene, "[axis rate]\nset = [link default] rate\nvalues = 1Mbit\n",
                        network=NETWORK + "[link default]\nup.rate = 1Mbit\n")
    check("more specific" in campaign.run(status=2).stderr, "a key that is overridden is refused")
    campaign = Campaign(scene, "[axis rate]\nset = [link other] rate\nvalues = 1Mbit\n")
    check("no session can have [link other]" in campaign.run(status=2).stderr, "a link that nothing names is refused")
    campaign = Campaign(scene, keys="jobs = 2\n", network=NETWORK.replace(":0", ":45999"))
    check("port 0, or benches" in campaign.run(status=2).stderr, "a fixed port with two jobs is refused")
    campaign = Campaign(scene)
    check_equal(h.deadzone("check", campaign.file).stderr, "", "messages about a file without errors")


@test
def the_examples_pass_the_check(scene):
    for name in ("matrix", "outage", "handshake"):
        done = h.deadzone("check", h.TOP / f"doc/examples/campaign/{name}.ini")
        check_equal((done.returncode, done.stderr), (0, ""), name)


@test
def pytest_over_the_units(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 1\n")
    environment = dict(os.environ, CAMPAIGN=str(campaign.file), RESULTS=str(campaign.folder),
                       PATH=f"{pathlib.Path(h.BINARY).resolve().parent}:{os.environ['PATH']}")
    done = h.run("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", h.TOP / "doc/examples/cluster/test_units.py",
                 env=environment, cwd=scene.folder)
    if "No module named pytest" in done.stderr:
        raise h.Skip("pytest is not installed")
    check("1 failed, 1 passed" in done.stdout and "m/cut/1" in done.stdout and "exited with status 1" in done.stdout, done.stdout)


@test
def files_for_clusters_are_well_formed(scene):
    """PyYAML reads the YAML files, and the commands in all files have only options that exist."""
    folder, known = h.TOP / "doc/examples/cluster", h.deadzone("help", "campaign").stdout
    for name, need in (("job.yaml", ["Indexed", "JOB_COMPLETION_INDEX"]), ("github.yml", ["matrix", "shard"])):
        done = h.run("/usr/bin/python3", "-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), default=str))", folder / name)
        check_equal(done.returncode, 0, done.stderr)
        check(json.loads(done.stdout) and all(word in done.stdout for word in need), done.stdout)
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            if "deadzone campaign" in line:
                for word in re.findall(r" (--[a-z-]+)", line.split("deadzone campaign", 1)[1]):
                    check(f"{word} " in known, f"{path.name}: there is no {word}")


@test
def networks_as_an_axis(scene):
    scene.path("slow.ini", "[link default]\nlatency = 3ms\n[rule cut]\nnth = 1\ndo = drop\n")
    campaign = Campaign(scene, "[axis net]\ninclude = slow.ini, none, profile:edge-good\n", keys="seeds = 1\n",
                        network=NETWORK + "[link default]\nup.latency = 9ms\n")
    check_equal(sorted(campaign.run("--list").stdout.split()), ["m/edge-good/1", "m/none/1", "m/slow/1"])
    campaign.run("--only", "m/slow/*", "--only", "m/none/*", status=3)
    check_equal({u: o for u, o in campaign.outcomes.items()}, {"m/none/1": "pass", "m/slow/1": "fail"})
    slow = (campaign.folder / "units/m/slow/1/case.ini").read_text()
    check("latency = 3ms" in slow and "up.latency" not in slow and "nth = 1\n" in slow, slow)


# ---- Killed campaigns, and what they leave behind ----


@test
def nothing_is_left_behind(scene):
    scene.path("leave.py", f"""import os, signal, subprocess, sys
subprocess.check_call(["{DEVICE}"])
for i in range(3):
    if os.fork() == 0:
        if i: os.setsid()
        if i == 2 and os.fork(): os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execv("{sys.executable}", ["python3", "-c", "import time; time.sleep(600)", "{scene.folder}"])
""")
    campaign = Campaign(scene, keys="seeds = 1\n", device=f"{sys.executable} leave.py")
    campaign.run()
    check_equal(processes_with(f"time.sleep(600)\0{scene.folder}"), [], "processes that still run")


@test
def an_interrupted_campaign_cleans_up(scene):
    log = scene.path("log")
    campaign = Campaign(scene, device=f"{DEVICE} && echo hanging > {scene.path('hangs')} && sleep 600",
                        keys=f"seeds = 1-3\ncleanup = echo $DEADZONE_CASE >> {log}\n")
    program = campaign.start()
    h.until(lambda: scene.path("hangs").exists(), "the test to hang", 60)
    program.signal(signal.SIGINT)
    check_equal(program.wait(), 1)
    check("to go on: deadzone campaign -c" in program.text, program.text)
    check_equal(log.read_text(), "m/all/1\n", "cleanup ran")
    check(not list(campaign.folder.glob("units/*")), "the interrupted case has no outcome")
    check(not list(campaign.folder.glob("claims/*")) and not list(campaign.folder.glob("running/*")), "nothing is left")


@test
def killed_and_resumed(scene):
    """A campaign killed at random moments and resumed ends like an undisturbed one. KILLS=50 kills more often."""
    more = MATRIX + "[search cut]\nset = [rule cut] do\nvalue = truncate {}\nfrom = 1\nto = 40\nworse = less\nruns = 12\n"
    network = NETWORK.replace("9999", "2")
    kills = int(os.environ.get("KILLS", "6"))
    seeds = f"seeds = 1-{3 + kills}\n"
    whole = Campaign(scene, more, keys=seeds, network=network)
    whole.folder = scene.path("whole")
    whole.run("--jobs", "1", status=3)
    campaign = Campaign(scene, more, keys=seeds, network=network)
    chance = random.Random(7)
    for _ in range(kills):
        program = campaign.start("--jobs", "1")
        time.sleep(chance.uniform(0, 0.5))  # a random moment; which one does not matter
        program.process.kill()
        program.wait()
        h.until(lambda: not processes_with(f"{campaign.folder}/running"), "the proxy to die with it")
    campaign.run("--jobs", "1", status=3)
    check_equal(campaign.outcomes, whole.outcomes)
    check_equal([s["text"] for s in campaign.json["searches"]], [s["text"] for s in whole.json["searches"]])
    check(not list(campaign.folder.glob("running/*")) and not list(campaign.folder.glob("claims/*")), "nothing is left")


@test
def what_a_killed_campaign_left_running_is_killed(scene):
    for keys in ("", "scratch = scratch\n"):
        hangs = scene.path("hangs")
        hangs.unlink(missing_ok=True)
        scene.path("hang.py", f"""import os, subprocess, sys, time
if os.path.exists("{hangs}"): sys.exit(subprocess.call("{DEVICE}".split()))
for i in range(2):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{scene.folder}"])
open("{hangs}", "w").close()
time.sleep(600)
""")
        campaign = Campaign(scene, keys=f"seeds = 1\n{keys}", device=f"{sys.executable} hang.py")
        campaign.folder = scene.path(f"out-{bool(keys)}")
        program = campaign.start()
        h.until(hangs.exists, "the test to hang", 60)
        program.process.kill()
        program.wait()
        check(processes_with(f"time.sleep(600)\0{scene.folder}"), "the processes that it started still run")
        campaign.run()
        check_equal(processes_with(f"time.sleep(600)\0{scene.folder}"), [], "processes that still run")


@test
def two_at_a_time_do_not_work_twice(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 1-4\n", device=f"echo x >> {scene.path('ran')} && {DEVICE}")
    both = [campaign.start("--shard", "1/1") for _ in range(2)]
    for program in both:
        check(program.wait() in (0, 1), program.text)
    campaign.run(status=3)
    check_equal(len(scene.path("ran").read_text().split()), 8, "each case ran once")


@test
def a_claim_whose_owner_is_gone(scene):
    campaign = Campaign(scene, keys="seeds = 1\n")
    host, boot = os.uname().nodename, pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    start = pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    owner = f"{host} {boot} {os.readlink('/proc/self/ns/pid')}"
    claim = campaign.folder / "claims/m/all/1"
    claim.parent.mkdir(parents=True)
    claim.write_text(f"{owner} {os.getpid()} {start} group 0 renewed 3\n")
    done = campaign.run("--unit", "m/all/1", status=1)
    check("another job runs it" in done.stderr, done.stderr)
    gone = h.run("sh", "-c", "echo $$").stdout.strip()
    claim.write_text(f"{owner} {gone} {start} group 0 renewed 3\n")
    campaign.run("--unit", "m/all/1")
    # Another process has the same process id now.
    claim.parent.mkdir(parents=True, exist_ok=True)
    claim.write_text(f"{owner} {os.getpid()} {int(start) - 1} group 0 renewed 3\n")
    campaign.run("--unit", "m/all/1", "--again")
    check(not claim.exists(), "the claim is released")


@test
def shards_share_the_references_of_a_sweep(scene):
    campaign = Campaign(scene, "[sweep each]\nat = datagrams\nlimit = 4\nreferences = 2\nrequire = none\n", keys="seeds = none\n",
                        device=f"{DEVICE} 3")
    for shard in (1, 2, 3):
        campaign.run("--shard", f"{shard}/3")
    campaign.run("--report")
    faults = campaign.json["sweeps"][0]["faults"]
    check(len(faults) in (4, 8) and all(f["outcome"] for f in faults), f"each fault has an outcome: {faults}")


@test
def shards_at_once_run_each_fault(scene):
    campaign = Campaign(scene, "[sweep each]\nat = datagrams\nlimit = 4\nreferences = 2\nrequire = none\n", keys="seeds = none\n",
                        device=f"{DEVICE} 3")
    programs = [campaign.start("--shard", f"{shard}/3") for shard in (1, 2, 3)]
    for program in programs:
        check_equal(program.wait(), 0, program.text)
    campaign.run("--report")
    faults = campaign.json["sweeps"][0]["faults"]
    check(len(faults) in (4, 8) and all(f["outcome"] for f in faults), f"each fault has an outcome: {faults}")


@test
def reports_count_what_others_have_finished(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 1-4\n")
    programs = [campaign.start() for _ in range(3)]
    check(3 in [program.wait() for program in programs], "the last one to end sees all results")
    campaign.run("--report", status=3)
    check_equal(len(campaign.outcomes), 8)


@test
def two_signals_end_it_at_once(scene):
    campaign = Campaign(scene, keys=f"seeds = 1\nsetup = echo x > {scene.path('began')} && sleep 600\n")
    program = campaign.start()
    h.until(lambda: scene.path("began").exists(), "the setup to begin", 60)
    program.signal(signal.SIGINT)
    program.signal(signal.SIGTERM)
    check_equal(program.wait(), 1)
    check_equal(processes_with(f"{scene.folder}"), [], "nothing is left")


@test
def what_a_test_does_to_its_folder(scene):
    log = scene.path("log")
    campaign = Campaign(scene, "[axis what]\nvalues = rm -rf $DEADZONE_DIR, true\nnames = removes, nothing\n",
                        device=f"{DEVICE} && eval $DEADZONE_AXIS_WHAT", keys=f"seeds = 1\nretry = 0\ncleanup = echo $DEADZONE_OUTCOME >> {log}\n")
    campaign.run(status=1)
    check_equal(campaign.outcomes, {"m/removes/1": "invalid", "m/nothing/1": "pass"})
    check_equal(sorted(log.read_text().split()), ["invalid", "pass"], "cleanup ran for both")


@test
def what_prepare_leaves_must_be_readable(scene):
    scene.path("prepare.sh", '''case $DEADZONE_AXIS_HOW in
fifo) mkfifo "$DEADZONE_SET";;
folder) mkdir "$DEADZONE_SET";;
zero) ln -s /dev/zero "$DEADZONE_ENV";;
nul) printf '[rule cut] nth = 9999\\0\\n' > "$DEADZONE_SET";;
noname) echo =3 > "$DEADZONE_ENV";;
esac
''')
    campaign = Campaign(scene, "[axis how]\nvalues = fifo, folder, zero, nul, noname, well\n", keys="seeds = 1\nretry = 0\nbench_out = 9\nprepare = sh prepare.sh\n")
    campaign.run(status=1)
    check_equal({u.split("/")[1]: o for u, o in campaign.outcomes.items()},
                {"fifo": "invalid", "folder": "invalid", "zero": "invalid", "nul": "invalid", "noname": "invalid", "well": "pass"})


@test
def a_group_with_a_zombie_does_not_block(scene):
    scene.path("zombie.py", f"""import os, subprocess, sys, time
subprocess.check_call(["{DEVICE}"])
if os.fork() == 0:
    if os.fork() == 0: os._exit(0)     # stays a zombie in the test's group
    os.setsid(); time.sleep(600)
time.sleep(0.3)
""")
    campaign = Campaign(scene, keys="seeds = 1\n", device=f"{sys.executable} zombie.py {scene.folder}")
    campaign.run()
    check_equal(processes_with(f"zombie.py\0{scene.folder}"), [])


@test
def ids_stay_in_the_folder(scene):
    campaign = Campaign(scene, "[sweep each]\nat = datagrams\n", keys="seeds = none\n")
    for unit in ("w/each/all/up-x/../../../../../../ESCAPED-drop", "w/each/all/up-1\ndo = drop-drop", "w/each/all/down-zzz-drop"):
        check("there is no unit" in campaign.run("--unit", unit, status=2).stderr, unit)
    reference = campaign.folder / "units/r/each/all/1"
    reference.mkdir(parents=True)
    for number in (1, 2, 3):
        reference.with_name(str(number)).mkdir(exist_ok=True)
        (reference.with_name(str(number)) / "result.json").write_text(json.dumps(
            {"id": f"r/each/all/{number}", "outcome": "pass", "places": ["up-../../../../../../ESC2|direction = up;nth = 1|1|0", "up-1|x|1|1"]}))
    listed = campaign.run("--list").stdout.split()
    check_equal([unit for unit in listed if ".." in unit], [])
    campaign.run("--unit", "-", input="", stdin=None)
    check(not list(campaign.folder.glob("units/w")), "without an id no case is run")


@test
def results_that_do_not_count(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 1\n")
    campaign.folder = scene.path("out.old-1")
    campaign.run(status=3)
    units = campaign.folder / "units/m"
    shutil.copytree(units / "cut/1", units / "clean/1.new-77")
    shutil.copytree(units / "cut/1", units / "clean/1.old-2")
    for name, text in (("2", "{"), ("3", "[]"), ("4", "3" * 100000), ("5", json.dumps({"id": "m/clean/1", "outcome": "fail"}))):
        (units / f"clean/{name}").mkdir()
        (units / f"clean/{name}/result.json").write_text(text)
    campaign.run("--report", status=3)
    check_equal(campaign.outcomes, {"m/clean/1": "pass", "m/cut/1": "fail"})


@test
def other_values_under_the_same_names(scene):
    campaign = Campaign(scene, "[axis firmware]\nvalues = a.bin, b.bin\nnames = old, new\n", keys="seeds = 1\n")
    campaign.run()
    done = campaign.run("--set", "[axis firmware] values = a.bin, c.bin", status=2)
    check("b.bin" in done.stderr and "c.bin" in done.stderr, done.stderr)
    (campaign.folder / "identity.json").write_text("[]")
    check("damaged" in campaign.run(status=2).stderr, "a damaged identity is refused")


# ---- Benches ----


@test
def benches(scene):
    log = scene.path("log")
    campaign = Campaign(scene, "[axis board]\nvalues = argon, boron\n[bench left]\nenvironment = TTY=l\nonly = board=argon\n"
                        "[bench right]\nenvironment = TTY=r\n", device=f"echo run $DEADZONE_BENCH $TTY >> {log} && {DEVICE}",
                        keys=f"seeds = 1-3\nsetup = echo setup $DEADZONE_BENCH >> {log}\nteardown = echo teardown $DEADZONE_BENCH >> {log}\n")
    campaign.run()
    said = log.read_text().splitlines()
    check_equal(sorted(line for line in said if line.startswith("setup")), ["setup left", "setup right"])
    check_equal(sorted(line for line in said if line.startswith("teardown")), ["teardown left", "teardown right"])
    check_equal({line for line in said if line.startswith("run")} - {"run left l", "run right r"}, set())
    check_equal({campaign.result(f"m/boron/{s}")["bench"] for s in (1, 2, 3)}, {"right"})
    campaign.run("--again", "--only", "m/boron/1")
    check_equal(sum(line.startswith("setup") for line in log.read_text().splitlines()), 3, "a setup comes after a teardown")
    kept = Campaign(scene, keys=f"seeds = 1-3\njobs = 3\nsetup = echo once >> {scene.path('once')}\n")
    kept.folder = scene.path("kept")
    kept.run()
    kept.run("--again", "--only", "m/all/2")
    check_equal(scene.path("once").read_text(), "once\n", "without a teardown the bench stays set up")


@test
def a_bench_that_fails_gets_no_more(scene):
    campaign = Campaign(scene, "[bench good]\n[bench bad]\n", keys="seeds = 1-6\nbench_out = 2\n",
                        device=f"if test $DEADZONE_BENCH = bad; then exit 125; fi; {DEVICE}")
    campaign.run()
    check_equal({r["bench"] for r in map(campaign.result, campaign.outcomes)}, {"good"})


@test
def a_change_of_an_axis(scene):
    log = scene.path("log")
    campaign = Campaign(scene, f"[axis fw]\nvalues = old, new\nchange = echo flash $DEADZONE_AXIS_FW >> {log}\n")
    campaign.run()
    check_equal(log.read_text().splitlines(), ["flash old", "flash new"], "the change ran once for each value")


@test
def a_baseline_that_fails(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 1\nbaseline = 2\n")
    campaign.run(status=3)
    check((campaign.folder / "baseline/2/result.json").exists(), "clean runs come first")
    broken = Campaign(scene, MATRIX, keys="seeds = 1\nbaseline = 1\n", device=f"{DEVICE} && false")
    broken.folder = scene.path("broken")
    done = broken.run(status=1)
    check("the bench is broken" in done.stderr and not list(broken.folder.glob("units/m/*")), done.stderr)


@test
def stop_after_failures(scene):
    campaign = Campaign(scene, MATRIX, keys="seeds = 1-5\nstop_after = 2\norder = listed\n")
    campaign.run(status=3)
    check_equal(sum(outcome == "fail" for outcome in campaign.outcomes.values()), 2)
    check(campaign.json["stopped"].startswith("stop_after"), campaign.json["stopped"])


# ---- Searches, sweeps, shrinking, comparing ----


@test
def a_search(scene):
    # A probe has 7 bytes, so that truncating it to 7 or more changes nothing.
    campaign = Campaign(scene, "[search cut]\nset = [rule cut] do\nvalue = truncate {}\nfrom = 1\nto = 40\nworse = less\nrequire = -9\n",
                        keys="seeds = none\n", network=NETWORK.replace("9999", "2"))
    campaign.run()
    found = campaign.json["searches"][0]
    check(6 <= found["threshold"] <= 7, found["text"])
    check_equal(found["state"], "found")
    # A search that has lost its later points finds the same ones again.
    points = [(p["id"], p["figure"], p["outcome"]) for p in found["points"]]
    check_equal(json.loads((campaign.folder / "units/s/cut/all/search.json").read_text())["state"], "found")
    for path in sorted((campaign.folder / "units/s/cut/all").glob("0*"))[4:]:
        shutil.rmtree(path)
    campaign.run()
    check_equal([(p["id"], p["figure"], p["outcome"]) for p in campaign.json["searches"][0]["points"]], points)
    check_equal(h.deadzone("campaign", "--compare", campaign.folder, campaign.folder).returncode, 0)


@test
def a_search_with_several_jobs(scene):
    campaign = Campaign(scene, "[search cut]\nset = [rule cut] do\nvalue = truncate {}\nfrom = 1\nto = 40\nworse = less\nruns = 30\n",
                        keys="seeds = none\njobs = 3\n", network=NETWORK.replace("9999", "2"))
    campaign.run()
    found = campaign.json["searches"][0]
    check(found["state"] == "found" and 6 <= found["threshold"] <= 7 and found["runs"] <= 30, found["text"])
    campaign.run("--again", "--only", "s/*")
    check((campaign.folder / "units/s/cut/all/001.old-1").is_dir(), "the old points are set aside")


@test
def a_sweep_over_datagrams(scene):
    campaign = Campaign(scene, "[sweep each]\nat = datagrams\nfault = drop, duplicate\nreferences = 1\nrequire = 50%\n",
                        keys="seeds = none\njobs = 2\n", device=f"{DEVICE} 3")
    check_equal(campaign.run("--list").stdout.split(), ["r/each/all"])
    campaign.run()
    faults = {(f["place"], f["fault"]): f["outcome"] for f in campaign.json["sweeps"][0]["faults"]}
    for n in (1, 2, 3):
        check_equal(faults[f"up-{n}", "drop"], "fail", f"datagram {n} up")
        check_equal(faults[f"down-{n}", "drop"], "fail", f"datagram {n} down")
    check_equal({outcome for (_, fault), outcome in faults.items() if fault == "duplicate"}, {"pass"})
    check_equal(campaign.result("w/each/all/up-2-drop")["struck"], 1)
    check("w/each/all/up-2-drop" in campaign.run("--list").stdout.split(), "--list shows the cases afterwards")
    campaign.run("--again", "--only", "r/*")
    check((campaign.folder / "units/r/each/all/1.old-1").is_dir() and campaign.result("r/each/all/1"), "the references ran again")
    done = campaign.run("--unit", "w/each/all/up-1-drop", folder=False)
    folder = pathlib.Path(done.stderr.split("results go to ")[1].split()[0])
    check_equal(json.loads((folder / "units/w/each/all/up-1-drop/result.json").read_text())["outcome"], "fail")
    shutil.rmtree(folder)


@test
def a_sweep_on_a_network_that_fails_anyway(scene):
    campaign = Campaign(scene, "[sweep each]\nat = datagrams\n", keys="seeds = none\n", device=f"{DEVICE} && false")
    done = campaign.run(status=1)
    check("the test fails on an untouched network" in done.stdout, done.stdout)


@test
def a_sweep_over_a_handshake(scene):
    dtls.need("coap-server-openssl", "coap-client-openssl")
    server = dtls.coap_server(scene)
    client = f"coap-client-openssl -B 60 -k {dtls.KEY} -u {dtls.IDENTITY} coaps://$DEADZONE_ADDRESS/"
    campaign = Campaign(scene, "[sweep lost]\nreferences = 2\n", keys="seeds = none\njobs = 2\n", upstream=f"127.0.0.1:{server.port}",
                        device=f"{client} > $DEADZONE_DIR/out && grep -q libcoap $DEADZONE_DIR/out")
    campaign.run(patience=280)
    faults = {f["place"]: f for f in campaign.json["sweeps"][0]["faults"]}
    check({"up-client_hello", "down-hello_verify_request", "up-client_hello-2", "down-server_hello",
           "up-client_key_exchange"} <= set(faults), faults)
    check_equal({f["outcome"] for f in faults.values()}, {"pass"})
    for fault in faults.values():
        check(campaign.result(fault["id"])["struck"] >= 1, fault)
        check(fault["cost"] > 0.5, f"a lost flight costs a retransmission timeout: {fault}")


@test
def shrinking_a_failure(scene):
    campaign = Campaign(scene, "[axis loss]\nset = [rule cut] nth\nvalue = 2-3,5\nnames = lossy\n", keys="seeds = 1\n",
                        device=f"{DEVICE} 3",
                        network=NETWORK + "[rule more]\ndirection = up\nnth = 4\ndo = duplicate\n")
    campaign.run(status=3)
    done = campaign.run("--shrink", "m/lossy/1")
    pinned = (campaign.folder / "units/m/lossy/1/pinned.ini").read_text()
    check_equal(pinned.count("do = "), 1, f"one decision is left:\n{pinned}\n{done.stdout}")
    check("do = drop" in pinned and ("nth = 2\n" in pinned or "nth = 3\n" in pinned), pinned)
    check_equal(h.deadzone("check", campaign.folder / "units/m/lossy/1/pinned.ini").stderr, "")
    check("holds no case" in campaign.run("--shrink", "m/lossy/2", status=2).stderr, "an unknown case is refused")


@test
def comparing(scene):
    old, new = Campaign(scene, MATRIX, keys="seeds = 1\n"), scene.path("new")
    old.run(status=3)
    shutil.copytree(old.folder, new)
    changed = json.loads((new / "campaign.json").read_text())
    changed["cases"] = [dict(case, id=f"m/clean/{i}", outcome=outcome) for outcome in ("fail",) for i, case in
                        enumerate(changed["cases"] * 10)]
    (new / "campaign.json").write_text(json.dumps(changed))
    good = dict(changed, cases=[dict(case, outcome="pass") for case in changed["cases"]])
    scene.path("good.json", json.dumps(good))
    done = h.deadzone("campaign", "--compare", scene.path("good.json"), new, "--json", scene.path("c.json"), "--html",
                      scene.path("c.html"), "--junit", scene.path("c.xml"))
    check_equal(done.returncode, 3, done.stdout)
    check("The new campaign is worse." in done.stdout, done.stdout)
    check(json.loads(scene.path("c.json").read_text())["worse"], "the JSON file says so")
    check_equal(xml.parse(scene.path("c.xml")).getroot().get("failures"), "2")
    check("worse" in scene.path("c.html").read_text(), "the page says so")
    check_equal(h.deadzone("campaign", "--compare", new, scene.path("good.json")).returncode, 0, "a better one passes")
    check_equal(h.deadzone("campaign", "--compare", new, scene.path("nothing")).returncode, 2)
    check_equal(h.deadzone("campaign", "--compare", new).returncode, 2)


if __name__ == "__main__":
    h.run_all()
