#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The story as a campaign: two sizes and four devices over the network of scenarios/story.ini, with its seed and three
others, at twenty times the speed. Prints the page's path, and exits with 1 if the outcomes are not those of the story.

    python3 test/ota/campaign.py [--scale N]

The campaign also runs this script as its prepare (`cloud`) and its test (`device`).
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import lab

FOLDER = lab.TOP / "build" / "story-campaign"
# By the label of the axis `device`: options of the device, options of the cloud.
DEVICES = {"plain": ("", ""), "keepalive": ("--tries 2 --keepalive 30", "--again 100"), "cid": ("--cid", ""),
           "new-protocol": ("--protocol v3", "--protocol v3")}
SIZES = {"9k": 9216, "45k": 46080}
CAMPAIGN = """; The story (doc/story.md) as a campaign: which size, which device, how often.
[campaign]
config = network.ini
prepare = {python} {script} cloud {scale}
test = {python} {script} device {scale}
timeout = 120s
seeds = 28, 1-3
jobs = 4
require = none

[axis size]
values = {sizes}

[axis device]
values = {devices}

[measure device_seconds]
better = less
"""


def environment(name):
    return os.environ["DEADZONE_" + name]


def cloud(scale):
    """prepare: starts the emulated cloud in the background; the campaign ends it with the case."""
    folder = pathlib.Path(environment("DIR"))
    words = [lab.BUILD / "ota-cloud", "--time-scale", scale, *DEVICES[environment("AXIS_DEVICE")][1].split(),
             lab.image(SIZES[environment("AXIS_SIZE")])]
    child = lab.start(words, folder / "cloud.log")
    ready = lab.wait_for_line(folder / "cloud.log", r"ready port=(\d+) sha256=(\w+)", child)
    with open(environment("SET"), "a", encoding="ascii") as settings:
        settings.write(f"[proxy] upstream = 127.0.0.1:{ready[1]}\n")
    with open(environment("ENV"), "a", encoding="ascii") as variables:
        variables.write(f"SHA256={ready[2]}\n")


def device(scale):
    """test: runs the emulated device; its exit status is that of the case."""
    words = [lab.BUILD / "ota-device", "--time-scale", scale, *DEVICES[environment("AXIS_DEVICE")][0].split(), "--sha256",
             os.environ["SHA256"], environment("HOST"), environment("PORT")]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr, flush=True)
    seconds = lab.figures(done.stdout + done.stderr).get("seconds")
    if seconds:
        with open(environment("MEASURES"), "a", encoding="ascii") as measures:
            measures.write(f"device_seconds {seconds}\n")
    sys.exit(done.returncode)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--scale", type=int, default=lab.SCALE)
    scale = options.parse_args().scale
    lab.require_programs()
    FOLDER.mkdir(parents=True, exist_ok=True)
    network = lab.scaled((lab.SCENARIOS / "story.ini").read_text(), scale)
    (FOLDER / "network.ini").write_text(network.replace("[proxy]\n", "[proxy]\nlisten = 127.0.0.1:0\n"))
    (FOLDER / "campaign.ini").write_text(CAMPAIGN.format(
        python=sys.executable, script=os.path.relpath(pathlib.Path(__file__).resolve(), FOLDER), scale=scale, sizes=", ".join(SIZES),
        devices=", ".join(DEVICES)))
    words = [str(lab.TOP / "build/deadzone"), "campaign", "-c", str(FOLDER / "campaign.ini"), "-o", str(FOLDER / "results"), "--again"]
    status = subprocess.run(words, check=False).returncode
    cases = json.loads((FOLDER / "results/campaign.json").read_text())["cases"]
    outcomes = {case["id"]: case["outcome"] for case in cases}
    expected = {f"m/{size}+{name}/28": "fail" if (size, name) == ("45k", "plain") else "pass"
                for size in SIZES for name in DEVICES}
    wrong = {unit: outcomes.get(unit) for unit, want in expected.items() if outcomes.get(unit) != want}
    print(f"the page: {FOLDER / 'results/report.html'}")
    if wrong or status:
        print(f"not as in the story: exit status {status}, {wrong}")
    sys.exit(1 if wrong or status else 0)


if __name__ == "__main__":
    if sys.argv[1:2] in (["cloud"], ["device"]):
        {"cloud": cloud, "device": device}[sys.argv[1]](sys.argv[2])
    else:
        main()
