#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""README.md and doc/ match the program: fenced ini texts pass `deadzone check`, fenced commands are run or, if they
would not end or need a run, their options are checked; links lead to files, and lines are not too long."""

import re
import shlex
import shutil

import harness as h
from harness import check, check_equal, deadzone, test
from packets import CLOUD, DEVICE, RAW, ip, pcap

PAGES = [h.TOP / "README.md", *sorted((h.TOP / "doc").rglob("*.md")), h.TOP / "CONTRIBUTING.md", h.TOP / "SECURITY.md",
         h.TOP / "CHANGELOG.md", h.TOP / "test/README.md"]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.S | re.M)
PROXY = "[proxy]\nlisten = 127.0.0.1:0\nupstream = 127.0.0.1:9\n"


def fences(kind):
    return [(page, text) for page in PAGES for word, text in FENCE.findall(page.read_text()) if word == kind]


def folder_with_files(scene):
    """Returns a folder with the files that the pages' commands name: ini files, a field capture, captures of ours."""
    scene.path("field.pcap").write_bytes(pcap(RAW, [ip(DEVICE, CLOUD, b"asked"), ip(CLOUD, DEVICE, b"answered")] * 10))
    for name in ("my.ini", "lab.ini", "proxy.ini"):
        scene.path(name, PROXY)
    scene.path("campaign.ini", "[campaign]\nconfig = lab.ini\ntest = true\n")
    done = deadzone("simulate", "-r", scene.path("field.pcap"), "--loss", "10%", "--set", "[proxy] seed = 1", "-w",
                    scene.path("run.pcapng"))
    check_equal(done.returncode, 0, done.stderr)
    for name in ("judged.pcapng", "failed.pcapng", "first.pcapng"):
        shutil.copy(scene.path("run.pcapng"), scene.path(name))
    return scene.folder


@test
def ini_texts_pass_the_check(scene):
    texts = fences("ini")
    check(len(texts) >= 15, "the pages have ini texts")
    for page, text in texts:
        is_whole = "[proxy]" in text or "[campaign]" in text
        scene.path("lab.ini", PROXY + "[rule dead-zone]\nnth = 75\ndo = note\n")
        ini = scene.path("page.ini", text if is_whole else PROXY + text)
        done = deadzone("check", ini)
        check_equal((done.returncode, done.stdout), (0, ""), f"{page.name}: {done.stderr}\n{text}")


def options_exist(words, page):
    known = deadzone("help", words[1]).stdout
    for word in words[2:]:
        if word.startswith("--"):
            check(f"{word} " in known or f"{word}\n" in known, f"{page.name}: `deadzone {words[1]}` has no {word}")


@test
def commands_are_what_they_were(scene):
    folder = folder_with_files(scene)
    ran = 0
    for page, text in fences("sh"):
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if not words:
                continue
            check_equal(words[0], "deadzone", f"{page.name}: a fence of sh may only have deadzone's commands: {line}")
            options_exist(words, page)
            if words[1] in ("run", "tell", "campaign") or "--shrink" in words:
                continue
            done = h.run(h.BINARY, *words[1:], cwd=folder)
            check_equal(done.returncode, 0, f"{page.name}: {line}: {done.stderr}")
            ran += 1
    check(ran >= 8, f"commands that were run: {ran}")


@test
def links_lead_somewhere(scene):
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http:", "https:")):
                check((page.parent / target).exists(), f"{page.name} links to {target}, which does not exist")


@test
def the_readme_is_short(scene):
    check(len((h.TOP / "README.md").read_text().splitlines()) <= 120, "README.md has more than 120 lines")
    for page in PAGES:
        for number, line in enumerate(page.read_text().splitlines(), 1):
            check(len(line) <= 160 or line.startswith(("|", "    ")), f"{page.name}:{number} is {len(line)} characters long")
    for picture in (h.TOP / "doc/pictures").glob("*.png"):
        check(picture.stat().st_size <= 200 * 1024, f"{picture.name} is larger than 200 KiB")


@test
def the_architecture_page_names_what_exists(scene):
    page = (h.TOP / "doc/architecture.md").read_text()
    folders = [h.TOP / name for name in ("base", "rules", "capture", "report", "campaign", "proxy")]
    sources = "".join(path.read_text() for folder in folders for path in folder.rglob("*.[ch]"))
    walks, inline = re.findall(r"^ {4,}([a-z_]+_[a-z_]+)", page, re.M), re.findall(r"`([a-z_]+_[a-z_]+)`", page)
    check(len(walks) > 50, f"{len(walks)} functions in the walks")
    check_equal([name for name in walks + inline if not re.search(rf"\b{name}\b", sources)], [])
    files = re.findall(r"\b(?:base|rules|capture|report|campaign|proxy|doc|test)/[\w/]+\.(?:[chS]|py|sh|html)\b", page)
    check_equal([name for name in files if not (h.TOP / name).exists()], [])


h.run_all()
