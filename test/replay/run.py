#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the replay scripts: NAME.ini and NAME.in must give the transcript NAME.want. Prints TAP.

`run.py --renew NAME…` writes the .want files again: check the difference before you trust it.
"""
import difflib
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
REPLAY = os.environ.get("REPLAY", str(HERE.parent.parent / "build/asan/test/replay")).split()


def transcript(name):
    done = subprocess.run([*REPLAY, f"{name}.ini", f"{name}.in"], cwd=HERE, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr + (f"exit status {done.returncode}\n" if done.returncode else "")


def main():
    names = sorted(path.stem for path in HERE.glob("*.in"))
    if sys.argv[1:2] == ["--renew"]:
        for name in sys.argv[2:] or names:
            (HERE / f"{name}.want").write_text(transcript(name))
        return 0
    print(f"1..{len(names)}")
    failed = 0
    for number, name in enumerate(names, 1):
        want = (HERE / f"{name}.want").read_text()
        got = transcript(name)
        print(f"{'ok' if got == want else 'not ok'} {number} - replay {name}")
        if got != want:
            failed += 1
            for line in difflib.unified_diff(want.splitlines(), got.splitlines(), "want", "got", lineterm="", n=1):
                print(f"# {line}")
    return failed > 0


sys.exit(main())
