#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""bash completion: the words offered for a command line, in a bash without a terminal and in an interactive one."""

import os
import pty
import re
import select
import subprocess
import time

from checks import PATIENCE, Failure, check, check_equal, run
from harness import BINARY, TOP, run_all, test

SCRIPT = TOP / "build/deadzone.bash"
ASK = 'source "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; ' \
      'COMP_LINE=${COMP_LINE// : /:}; _deadzone; ' \
      'printf "%s\\n" "${COMPREPLY[@]}"'


def offered(*words, folder="/"):
    """Returns the completions of the last of these words."""
    done = subprocess.run(["bash", "--norc", "-c", ASK, "bash", SCRIPT, "deadzone", *words], capture_output=True, text=True,
                          check=False, cwd=folder, env=dict(os.environ, PATH=f"{TOP}/build:{os.environ['PATH']}"))
    check_equal(done.stderr, "")
    return [line for line in done.stdout.split("\n") if line]


@test
def all_commands_and_all_options(scene):
    helped = run(BINARY, "--help").stdout
    commands = [line.split()[1] for line in helped.splitlines() if line.startswith("  deadzone ") and "|" not in line]
    check_equal(sorted(word.strip() for word in offered("")), sorted([*commands, "--help", "--version"]))
    for command in commands:
        text = run(BINARY, "help", command).stdout
        options = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.MULTILINE))
        got = {word.strip() for word in offered(command, "--")}
        check(options <= got, f"{command}: {options - got} are not offered")
        check_equal(got - options - {"--help"}, set(), command)
    check_equal(offered("si"), ["simulate "])


@test
def files_by_what_an_option_takes(scene):
    for name in ("lab.ini", "lan.txt", "a.pcapng", "b.pcap.gz", "c d.pcap"):
        scene.path(name, "")
    scene.path("folder").mkdir()
    check_equal(sorted(offered("run", "-c", "", folder=scene.folder)), ["folder", "lab.ini"])
    check_equal(sorted(offered("check", "la", folder=scene.folder)), ["lab.ini"])
    check_equal(sorted(offered("report", "", folder=scene.folder)), ["a.pcapng", "b.pcap.gz", "c d.pcap", "folder"])
    check_equal(sorted(offered("run", "-w", "a", folder=scene.folder)), ["a.pcapng"])
    check_equal(offered("run", "--latency", "", folder=scene.folder), [])


@test
def settings_with_their_sections_and_keys(scene):
    scene.path("lab.ini", "[link 2g]\nrate = 9kbit\n[rule first]\nnth = 1\ndo = drop\n")
    line = ("run", "-c", "lab.ini", "--set")
    check_equal(offered(*line, '"[link default] up.los', folder=scene.folder),
                ["[link default] up.loss = ", "[link default] up.loss_run = ", "[link default] up.loss_at = "])
    check_equal(offered(*line, '"[proxy] idle', folder=scene.folder), ["[proxy] idle_timeout = "])
    check("[link 2g] " in offered(*line, '"[link', folder=scene.folder), "a section of the file is offered")
    check_equal(offered(*line, "'[rule first] n", folder=scene.folder), ["[rule first] nth = "])
    check_equal(offered(*line, "[capture] kee", folder=scene.folder), ['"[capture] keep = '])
    keys = run(BINARY, "help", "ini").stdout
    for section in ("capture", "control", "gateway"):
        for answer in offered("run", "--set", f'"[{section}] '):
            check(f"  {answer.split('] ')[1].split()[0]} " in keys, answer)


@test
def rules_of_the_ini_file_and_profiles(scene):
    scene.path("lab.ini", "[rule first]\nnth = 1\ndo = drop\n[rule $(touch pwned)]\nnth = 2\ndo = drop\n[link x]\nloss = 1%\n")
    check_equal(offered("tell", "-c", "lab.ini", "fire", "", folder=scene.folder), ["first "])
    check_equal(offered("tell", "-c", "lab.ini", "wait", "f", folder=scene.folder), ["first "])
    check_equal(offered("tell", "fire", "", folder=scene.folder), [])
    check_equal(offered("tell", "re"), ["reload "])
    check_equal(offered("run", "--link", "profile", ":", "nb-iot-g"), ["nb-iot-good "])
    profiles = [line.split()[0] for line in run(BINARY, "profiles").stdout.splitlines() if not line.startswith(" ")]
    check_equal({word.strip() for word in offered("run", "--link", "profile", ":", "")}, set(profiles))


@test
def names_that_would_be_commands(scene):
    """bash itself quotes the name of a file."""
    scene.path("Z$(touch pwned).pcap", "")
    pid, terminal = start_bash(scene.folder)
    try:
        os.write(terminal, b"deadzone report Z\t\n")
        await_text(terminal, "Z\\$\\(touch\\ pwned\\).pcap")
        os.write(terminal, b"echo do''ne\n")
        await_text(terminal, "done\r\n")
    finally:
        end_bash(pid, terminal)
    check(not scene.path("pwned").exists(), "a file's name was run as a command")


@test
def in_a_terminal(scene):
    """A user presses Tab, and bash shows the completion."""
    pid, terminal = start_bash(scene.folder)
    try:
        for typed, shown in (("deadzone simu\t", "simulate "), ('deadzone run --set "[link default] jitt\t', "jitter"),
                             ("deadzone run --link profile:nb-iot-g\t", "nb-iot-good ")):
            os.write(terminal, typed.encode())
            await_text(terminal, shown)
            os.write(terminal, b"\x15\x0b")  # erases the line
    finally:
        end_bash(pid, terminal)


def start_bash(folder):
    """Starts an interactive bash with the completion; returns its process id and its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        environment = dict(os.environ, PATH=f"{TOP}/build:{os.environ['PATH']}", PS1="> ", TERM="dumb")
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    os.write(terminal, f"source {SCRIPT}; bind 'set enable-bracketed-paste off'; echo rea''dy\n".encode())
    await_text(terminal, "ready\r\n")
    return pid, terminal


def end_bash(pid, terminal):
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(terminal)


def await_text(terminal, wanted):
    seen, deadline = "", time.monotonic() + PATIENCE
    while wanted not in seen:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            raise Failure(f"{wanted!r} is not in {seen!r}")
        seen += os.read(terminal, 4096).decode(errors="replace")


if __name__ == "__main__":
    run_all()
