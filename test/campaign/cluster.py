#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""make check-cluster: runs the same campaign by one process, by GNU parallel, and by Slurm on two nodes of this
machine, one of which is killed in the middle. The outcomes of all cases must be equal.

Slurm's daemons run as root in a folder of their own, on free ports of loopback, and end with the test.
"""

import contextlib
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

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY, DEVICE = TOP / "build/deadzone", TOP / "test/campaign/device.py"
SEEDS, SHARDS, PATIENCE = 12, 8, 100
CLOUD = """import os, socket, sys
cloud = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); cloud.bind(("127.0.0.1", 0))
with open(os.environ["DEADZONE_SET"], "a") as out: out.write("[proxy] upstream = 127.0.0.1:%d\\n" % cloud.getsockname()[1])
if os.fork() == 0:
    for fd in (1, 2): os.dup2(os.open("/dev/null", os.O_WRONLY), fd)
    while True:
        data, device = cloud.recvfrom(2000); cloud.sendto(data, device)
"""
NETWORK = "[proxy]\nlisten = 127.0.0.1:0\n[link default]\nup.loss = {loss}\n"
SLURM = """ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdTimeout=10
ReturnToService=2
MpiDefault=none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=lab Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:2
"""


def run(*words, **options):
    return subprocess.run([str(word) for word in words], text=True, capture_output=True, check=False, **options)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.1)
    return answer


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Lab:
    """A campaign's files, and the ways to run it."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "campaign.ini"
        (folder / "cloud.py").write_text(CLOUD)
        (folder / "net.ini").write_text(NETWORK.format(loss="0%"))
        self.file.write_text(f"[campaign]\nconfig = net.ini\nprepare = {sys.executable} cloud.py\ntest = sleep 0.5 && {DEVICE}\n"
                             f"seeds = 1-{SEEDS}\nkeep = all\n[axis loss]\nset = [link default] up.loss\nvalues = 0%, 15%\n")

    def campaign(self, out, *words):
        return [BINARY, "campaign", "-c", self.file, "-o", self.folder / out, *words]

    def outcomes(self, out):
        """Writes the report; returns the outcome of each case."""
        done = run(*self.campaign(out, "--report", "-q"))
        if done.returncode not in (0, 3):
            raise AssertionError(f"{out} is not complete: {done.stdout}{done.stderr}")
        cases = json.loads((self.folder / out / "campaign.json").read_text())["cases"]
        return {case["id"]: case["outcome"] for case in cases}

    def results(self, out):
        return len(list((self.folder / out).glob("units/m/*/*/result.json")))


def by_itself(lab):
    run(*lab.campaign("alone", "--jobs", 4))


def by_parallel(lab):
    units = run(*lab.campaign("parallel", "--list")).stdout
    words = [str(word) for word in lab.campaign("parallel", "-q", "--unit", "{}")]
    done = run("parallel", "--will-cite", "-j", "4", *words, input=units)
    if done.returncode:
        raise AssertionError(f"parallel: {done.stderr}")


class Slurm:
    """Slurm with two nodes on this machine."""

    def __init__(self, folder):
        self.folder, self.children = folder, []
        host, key = socket.gethostname().split(".")[0], folder / "munge.key"
        for name in ("state", "spool-n1", "spool-n2", "munge"):
            (folder / name).mkdir()
        key.write_bytes(os.urandom(1024))
        shutil.chown(key, "munge", "munge")
        shutil.chown(folder / "munge", "munge", "munge")
        key.chmod(0o400)
        folder.chmod(0o755)
        self.conf = folder / "slurm.conf"
        self.conf.write_text(SLURM.format(host=host, folder=folder, ports=free_ports(3)))
        self.environment = dict(os.environ, SLURM_CONF=str(self.conf))
        shutil.chown(folder, "munge")  # munged makes its socket here
        self.start("runuser", "-u", "munge", "--", "munged", "--foreground", "--force", f"--key-file={key}",
                   f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge/pid", f"--seed-file={folder}/munge/seed",
                   f"--log-file={folder}/munge/log")
        until(lambda: (folder / "munge.socket").exists(), "munged")
        self.start("slurmctld", "-D", "-i", "-f", self.conf)
        self.nodes = {name: self.start("slurmd", "-D", "-N", name, "-f", self.conf) for name in ("n1", "n2")}
        until(lambda: len(re.findall(r"n[12] idle", self.run("sinfo", "-N", "-h", "-o", "%N %T").stdout)) == 2, "two idle nodes")

    def start(self, *words):
        log = open(self.folder / "daemons.log", "ab")
        child = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True, env=getattr(self, "environment", None))
        self.children.append(child)
        return child

    def run(self, *words):
        return run(*words, env=self.environment)

    def kill_node(self, name):
        """Kills the node's daemon and all it has started, as if its power were cut; returns how many processes."""
        pids = [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/environ")
                if f"SLURMD_NODENAME={name}\0".encode() in self.read(path)]
        self.nodes[name].kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    @staticmethod
    def read(path):
        try:
            return path.read_bytes()
        except OSError:
            return b""

    def close(self):
        for child in reversed(self.children):
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            if str(self.folder).encode() in self.read(path):
                with contextlib.suppress(ProcessLookupError, ValueError):
                    os.kill(int(path.parent.name), signal.SIGKILL)


def by_slurm(lab):
    """Runs shards as an array; a node dies in the middle; a second array runs what it left."""
    (lab.folder / "slurm").mkdir()
    slurm = Slurm(lab.folder / "slurm")
    try:
        command = " ".join(map(str, lab.campaign("cluster", "-q", "--shard", f"$SLURM_ARRAY_TASK_ID/{SHARDS}")))
        for attempt in (1, 2):
            done = slurm.run("sbatch", "-n", "1", "--no-requeue", f"--array=1-{SHARDS}", f"--output={lab.folder}/slurm/job-%A-%a.log",
                             "--chdir", lab.folder, "--wrap", command)
            if done.returncode:
                raise AssertionError(done.stderr)
            if attempt == 1:
                until(lambda: lab.results("cluster") >= 4, "a few cases")
                print(f"# node n2 is killed, with {slurm.kill_node('n2')} processes, after {lab.results('cluster')} cases", flush=True)
                slurm.run("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=killed")
            until(lambda: not slurm.run("squeue", "-h").stdout.strip(), "the jobs to end")
            print(f"# array {attempt}: {lab.results('cluster')} of {2 * SEEDS} cases have a result", flush=True)
    finally:
        slurm.close()


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="deadzone-cluster-"))
    folder.chmod(0o755)  # munged runs as another user
    ways = {"alone": by_itself, "parallel": by_parallel, "cluster": by_slurm}
    print(f"1..{len(ways)}", flush=True)
    lab, first, failed = Lab(folder), None, 0
    try:
        for number, (name, way) in enumerate(ways.items(), 1):
            try:
                way(lab)
                outcomes = lab.outcomes(name)
                first = first or outcomes
                wrong = "" if outcomes == first and len(outcomes) == 2 * SEEDS and len(set(outcomes.values())) == 2 else str(outcomes)
            except (AssertionError, TimeoutError, OSError) as error:
                wrong = str(error)
            print(f"{'not ok' if wrong else 'ok'} {number} - {name}: {len(first or {})} cases, the same outcomes", flush=True)
            if wrong:
                failed += 1
                print("# " + wrong.replace("\n", "\n# "), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
