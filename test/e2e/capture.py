#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The capture, as tshark, tcpdump, capinfos and a small reader of pcapng blocks see it."""

import os
import pathlib
import re
import shutil
import signal
import struct
import time

import dtls
import harness as h
from harness import check, check_equal, test
from packets import CLOUD, DEVICE, ETHERNET, framed, ip, pcap
from shark import ENHANCED, INTERFACE, NAMES, SECTION, STATISTICS, blocks

MAC = {"device": "02:00:00:00:00:01", "proxy": "02:00:00:00:00:02", "cloud": "02:00:00:00:00:03"}
VALUES = {
    "s": r"\d+", "dir": "up|down", "n": r"\d+", "verdict": "send|drop",
    "reason": "loss|rule|blackout|queue|mtu|nat-expired|overload|not-allowed|max-sessions|error",
    "by": r"(rule|link):[\w.-]+(,(rule|link):[\w.-]+)*|\S+", "dtls": r"none|[a-z_0-9:]+/\d+/\d+", "dev": r"[\w.-]+",
    "delay": r"\d+\.\d{3}ms", "late": r"\d+\.\d{3}ms", "copies": r"\d+", "copy": r"\d+",
    "of": "duplicate|decoy|replay|inject|link", "packed": r"\d+(,\d+)*", "did": r"\S+",
    "hold": r"reorder:\S+|blackout|rule:\S+|pack|sleep|lookup",
}
# The kernel may choose a port that tshark knows for a protocol; "data" keeps it from dissecting the payload.
VALIDATE = ("-n", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-d", "udp.port==1024-65535,data")
WRONG = "ip.checksum.status == 0 || udp.checksum.status == 0 || _ws.malformed"
BUSY = """
[device lab]
address = 127.0.0.1
link = bad
[link bad]
latency = 3ms
jitter = 2ms
loss = 10%
duplicate = 10%
corrupt = 10%
reorder = 10%
[rule seventh]
nth = every 7
do = note
[rule dark]
direction = up
nth = 30
do = blackout 50ms up hold
"""


def busy_run(scene, upstream_host="127.0.0.1", rounds=120, more=BUSY, **options):
    """Makes a run with a bit of everything; returns the stopped proxy and its summary."""
    cloud = scene.cloud(upstream_host)
    proxy = scene.proxy(more, upstream=cloud, listen="127.0.0.1:0, [::1]:0", **options)
    devices = [scene.device(target) for target in proxy.listeners]
    for i in range(rounds):
        for device in devices:
            device.send(b"datagram %d of " % i + device.address.encode() + bytes(i % 7))
    proxy.when_received(2 * rounds)
    proxy.when_echoed()
    return proxy, proxy.stop()


@test
def tshark_tcpdump_and_capinfos_read_it_without_a_word(scene):
    for host in ("127.0.0.1", "::1"):
        proxy, summary = busy_run(scene, host)
        packets = h.read_capture(proxy.capture)
        count = len(packets)
        check_equal(count, summary["capture"]["written"], "packets")
        totals = summary["totals"]
        check_equal(len(h.arrivals(packets)), totals["up"]["received"] + totals["down"]["received"])
        check_equal(len(h.departures(packets)), totals["up"]["sent"] + totals["down"]["sent"])
        bad = h.tshark(proxy.capture, *VALIDATE, "-Y", WRONG)
        check_equal(bad, "", "bad checksums or malformed packets")
        good = h.tshark(proxy.capture, *VALIDATE, "-Y", "udp.checksum.status == 1 && (ip.checksum.status == 1 || ipv6)")
        check_equal(len(good.splitlines()), count, "packets with right checksums")
        done = h.run("tcpdump", "-n", "-r", proxy.capture)
        check_equal(done.returncode, 0, done.stderr)
        harmless = ("reading from file", "Warning: interface names")
        check_equal([line for line in done.stderr.splitlines() if not line.startswith(harmless)], [], "complaints")
        check_equal(len(re.findall(r"^\d\d:\d\d:", done.stdout, re.MULTILINE)), count, "packets that tcpdump shows")
        done = h.run("capinfos", proxy.capture)
        check_equal((done.returncode, done.stderr.replace("\n", "")), (0, ""))


@test
def interfaces_flags_and_addresses(scene):
    proxy, _ = busy_run(scene)
    packets = h.read_capture(proxy.capture)
    places = {"up": ("device", "cloud"), "down": ("cloud", "device")}
    for p in packets:
        if p.interface == "events":
            check_equal((p.direction, p.comment, p.destination[1]), (0, "", 514))
        else:
            came, leaves = places[p.fields["dir"]]
            check_equal((p.interface, p.direction), (came, 1) if p.arrival else (leaves, 2), p.comment)
    interfaces = [body for kind, body in blocks(proxy.capture)[0] if kind == INTERFACE]
    check_equal([struct.unpack_from("<HHI", body) for body in interfaces], [(1, 0, 262144)] * 3, "type and snaplen")
    ends = h.tshark(proxy.capture, "-n", "-T", "fields", "-e", "frame.interface_name", "-e",
                    "frame.packet_flags_direction", "-e", "eth.src", "-e", "eth.dst")
    seen = {tuple(line.split("\t")) for line in ends.splitlines() if not line.startswith("events")}
    check_equal({(name, int(flag or "0", 0), *macs) for name, flag, *macs in seen},
                {("device", 1, MAC["device"], MAC["proxy"]), ("device", 2, MAC["proxy"], MAC["device"]),
                 ("cloud", 1, MAC["cloud"], MAC["proxy"]), ("cloud", 2, MAC["proxy"], MAC["cloud"])})


@test
def ids_pair_what_came_with_what_left(scene):
    proxy, _ = busy_run(scene)
    packets = h.read_capture(proxy.capture)
    came = {p.id: p for p in h.arrivals(packets)}
    check_equal(len(came), len(h.arrivals(packets)), "ids are unique among arrivals")
    for p in h.departures(packets):
        check(p.id in came, f"id {p.id} of {p.comment!r} never arrived")
        check_equal(p.key, came[p.id].key, "key of the arrival")
        due = h.milliseconds(p.fields["delay"]) + h.milliseconds(p.fields["late"])
        apart = (p.time - came[p.id].time) / 1e6
        check(abs(apart - due) < 0.01, f"timestamps of {p.comment!r} are {apart} ms apart")
        check(h.milliseconds(p.fields["late"]) >= 0, p.comment)
        if "copy" not in p.fields and "corrupt" not in came[p.id].fields.get("did", ""):
            check_equal(p.payload, came[p.id].payload, "bytes of the arrival")
    for p in came.values():
        left = [q for q in packets if q.id == p.id and not q.arrival and "copy" not in q.fields]
        check_equal(len(left), 1 if p.fields["verdict"] == "send" else 0, f"how often {p.comment!r} left")


@test
def packets_stand_in_order_and_are_stamped_when_it_happened(scene):
    began = time.time_ns()
    proxy, _ = busy_run(scene)
    packets = h.read_capture(proxy.capture)
    latest = began
    for p in packets:
        check(p.time > latest - 100_000_000, f"{p.comment!r} is {(latest - p.time) / 1e6} ms out of order")
        latest = max(latest, p.time)
    check(latest <= time.time_ns(), "a timestamp is in the future")
    check(len({p.time % 1000 for p in packets}) > 50, "timestamps have nanoseconds")


@test
def comments_keep_their_grammar(scene):
    proxy, summary = busy_run(scene)
    packets = [p for p in h.read_capture(proxy.capture) if p.interface != "events"]
    for p in packets:
        check_equal(len(p.comment.split()), len(p.fields) + len(p.words), "each key occurs once")
        for key, value in p.fields.items():
            check(key in VALUES and re.fullmatch(VALUES[key], value), f"{key}={value} in {p.comment!r}")
        check_equal(list(p.fields)[:3], ["s", "dir", "n"], p.comment)
        if p.arrival:
            check_equal(p.words, [], p.comment)
            check_equal("reason" in p.fields, p.fields["verdict"] == "drop", p.comment)
            check("dtls" in p.fields, p.comment)
        else:
            check(p.words in (["sent"], ["unsent"]), p.comment)
            check_equal("late" in p.fields, p.sent, p.comment)
    by_number = {str(s["s"]): s for s in summary["sessions"]}
    for number, one in by_number.items():
        for way in ("up", "down"):
            mine = [p for p in packets if p.fields["s"] == number and p.fields["dir"] == way]
            check_equal(sum(p.arrival for p in mine), one[way]["received"])
            check_equal(sum(p.sent for p in mine), one[way]["sent"])
            check_equal(sum(int(p.fields.get("copies", 0)) for p in mine), one[way]["copies"], "copies")
            check_equal(sum("corrupt" in p.fields.get("did", "") for p in mine if p.arrival), one[way]["corrupted"])
            check_equal({p.fields.get("dev") for p in mine if p.arrival}, {one["section"]})
    check_equal({s["section"] for s in summary["sessions"]}, {"lab", None})


@test
def events_read_as_text(scene):
    proxy, _ = busy_run(scene)
    texts = h.events(h.read_capture(proxy.capture))
    for wanted in (r"s=1 session-begins device=127\.0\.0\.1:\d+ dev=lab link=bad",
                   r"s=2 session-begins device=\[::1\]:\d+ link=clean",
                   r"s=1 note by=rule:seventh.*", r"s=\d blackout-begins 50ms.* by=rule:dark", r"s=\d blackout-ends.*"):
        check(any(re.fullmatch(wanted, text) for text in texts), f"no event {wanted!r} in {texts}")
    shown = h.tshark(proxy.capture, "-Y", "syslog", "-T", "fields", "-e", "_ws.col.Info").splitlines()
    check_equal(len(shown), len(texts), "events that Wireshark shows as syslog")
    check(all("deadzone" in line for line in shown), shown[0])
    done = h.run("tcpdump", "-n", "-r", proxy.capture, "port", "514")
    check("SYSLOG" in done.stdout, done.stdout[:500])


@test
def header_and_closing_say_what_ran(scene):
    proxy, summary = busy_run(scene)
    about = h.run("capinfos", "-M", proxy.capture).stdout
    check(re.search(rf"deadzone {re.escape(summary['version'])}", about), about)
    for text in ("7", "[rule seventh]", "nth = every 7", "upstream = 127.0.0.1"):
        check(text in about, f"the section header's comment lacks {text!r}:\n{about}")
    found, rest = blocks(proxy.capture)
    check_equal((found[0][0], rest), (SECTION, b""))
    closing = [body for kind, body in found if kind == STATISTICS]
    check_equal([struct.unpack_from("<I", body)[0] for body in closing], [0, 1, 2], "interface statistics")
    fired = summary["rules"]["seventh"]
    text = b"".join(closing).decode(errors="replace")
    for wanted in (rf"seventh matched={fired['matched']} fired={fired['fired']}", "lateness", "kernel_drops"):
        check(re.search(wanted, text), f"the closing statistics lack {wanted!r}: {text!r}")


@test
def comments_are_utf8_whatever_the_ini_file_holds(scene):
    ini = scene.path("latin.ini")
    lines = "".join(f"; {'ä' * 80} {i}\n" for i in range(900))
    ini.write_bytes(b"; caf\xe9\n" + lines.encode() + b"[proxy]\nseed = 1\n")
    source, out = scene.path("one.pcap"), scene.path("utf8.pcapng")
    source.write_bytes(pcap(ETHERNET, [framed(ETHERNET, ip(DEVICE, CLOUD, b"x"))]))
    check_equal(h.deadzone("simulate", "-c", ini, "-r", source, "-w", out).returncode, 0)
    found, _ = blocks(out)
    comments, at, body = [], 16, found[0][1]
    while at + 4 <= len(body):
        code, size = struct.unpack_from("<HH", body, at)
        if code == 1:
            comments.append(body[at + 4:at + 4 + size].decode())  # strict: raises if it is not UTF-8
        at += 4 + (size + 3) // 4 * 4
    check(len(comments) > 2, "a long text is split into several comments")
    whole = "".join(comments)
    check("; caf\\xe9\n" in whole and lines in whole, "the text, with an escape for the byte that is not UTF-8")


@test
def classic_pcap(scene):
    proxy, summary = busy_run(scene, more=BUSY + "[capture]\nformat = pcap\n")
    check_equal(struct.unpack("<I", proxy.capture.read_bytes()[:4])[0], 0xA1B23C4D, "magic of the nanosecond format")
    packets = h.read_capture(proxy.capture)
    check(len({p.time % 1000 for p in packets}) > 50, "timestamps have nanoseconds")
    totals = summary["totals"]
    datagrams = [p for p in packets if p.destination[1] != 514]
    check_equal(len(datagrams), sum(totals[way][key] for way in ("up", "down") for key in ("received", "sent")))
    check_equal(h.tshark(proxy.capture, *VALIDATE, "-Y", WRONG), "", "bad checksums or malformed packets")
    check_equal(h.run("tcpdump", "-n", "-r", proxy.capture).returncode, 0)


@test
def a_pipe_to_tshark(scene):
    """tshark shows each datagram while the proxy runs."""
    reading, writing = os.pipe()
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n", "-w", "-", capture=False,
                        stdout=writing)
    os.close(writing)
    shark = scene.program("tshark", "-l", "-n", "-i", "-", "-T", "fields", "-e", "frame.interface_name", "-e",
                          "frame.comment", stdin=reading)
    os.close(reading)
    proxy.await_ready()
    device = scene.device(proxy)
    for i in range(3):
        device.ask(b"%d" % i)
        shark.told(rf"^device\ts=1 dir=down n={i + 1} sent", patience=30)
    proxy.stop()
    check_equal(shark.wait(), 0, shark.text)
    check_equal(len([line for line in shark.lines if "sent" in line or "verdict" in line]), 12)


@test
def snaplen_keeps_the_first_bytes(scene):
    proxy = scene.proxy("[capture]\nsnaplen = 20B", upstream=scene.cloud())
    device = scene.device(proxy)
    for size in (10, 20, 21, 1000):
        check_equal(len(device.ask(bytes(range(97, 117)) * 50 if size == 1000 else bytes(size))), size)
    proxy.stop()
    packets = [p for p in h.read_capture(proxy.capture) if p.interface != "events"]
    check_equal([(p.length, p.kept) for p in h.arrivals(packets, "up")],
                [(42 + size, 42 + min(size, 20)) for size in (10, 20, 21, 1000)])
    check_equal(h.departures(packets)[-1].payload, bytes(range(97, 117)))
    check_equal(len(packets), 16)


def numbered(proxy, number):
    return proxy.capture if number == 1 else proxy.capture.with_name(f"capture-{number}.pcapng")


@test
def rotation_by_size_keeps_the_newest(scene):
    proxy = scene.proxy("[capture]\nrotate_size = 64KiB\nkeep = 2", upstream=scene.cloud())
    device = scene.device(proxy)
    for _ in range(120):
        device.ask(bytes(1000))
    proxy.stop()
    files = sorted(proxy.folder.glob("capture*.pcapng"), key=lambda path: path.stat().st_mtime_ns)
    check_equal(len(files), 2, f"files kept {files}")
    numbers = [int(re.fullmatch(r"capture-(\d+)\.pcapng", path.name)[1]) for path in files]
    check(numbers[0] >= 3 and numbers[1] == numbers[0] + 1, f"numbers {numbers}")
    packets = [p for path in files for p in h.read_capture(path)]
    check(all(path.stat().st_size < 80 << 10 for path in files), [path.stat().st_size for path in files])
    ordinals = [p.key[2] for p in h.arrivals(packets, "up")]
    check_equal(ordinals, list(range(ordinals[0], 121)), "nothing is missing between files")


@test
def sigusr2_starts_a_new_file(scene):
    proxy = scene.proxy(upstream=scene.cloud())
    device = scene.device(proxy)
    for number in (1, 2, 3):
        for i in range(10):
            device.ask(b"%d %d" % (number, i))
        if number < 3:
            proxy.signal(signal.SIGUSR2)
            h.until(lambda n=number: numbered(proxy, n + 1).exists(), f"file {number + 1}")
    summary = proxy.stop()
    files = [h.read_capture(numbered(proxy, number)) for number in (1, 2, 3)]
    check(all(len(packets) >= 40 for packets in files[::2]), [len(packets) for packets in files])
    check_equal(sorted(p.key[2] for packets in files for p in h.arrivals(packets, "up")), list(range(1, 31)))
    check_equal(sum(map(len, files)), summary["capture"]["written"])
    for number in (1, 2, 3):
        check_equal(blocks(numbered(proxy, number))[1], b"")


@test
def a_pattern_in_the_name_is_expanded(scene):
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n[capture]\n"
                        f"file = {scene.folder}/lab-%Y%m%d.pcapng\n", capture=False).await_ready()
    scene.device(proxy).ask(b"hello")
    proxy.stop()
    files = list(scene.folder.glob("lab-*.pcapng"))
    check(len(files) == 1 and re.fullmatch(r"lab-20\d{6}\.pcapng", files[0].name), files)
    check_equal(len(h.departures(h.read_capture(files[0]))), 2)


@test
def tshark_decrypts_a_psk_session(scene):
    dtls.need("openssl")
    for cipher in dtls.PSK_CIPHERS:
        server = dtls.openssl_psk_server(scene, cipher)
        proxy = scene.proxy(upstream=f"127.0.0.1:{server.port}")
        client = dtls.openssl_psk_client(scene, proxy.port, cipher)
        dtls.exchange(client, server)
        proxy.stop()
        decode = ("-n", "-d", "udp.port==1-65535,dtls")
        words = ("-Y", "data.data", "-T", "fields", "-e", "frame.comment", "-e", "data.data")
        check_equal(h.tshark(proxy.capture, *decode, *words), "", "text that is readable without the key")
        plain = h.tshark(proxy.capture, *decode, "-o", f"dtls.psk:{dtls.KEY}", *words)
        rows = [line.split("\t") for line in plain.splitlines()]
        texts = [(h.parse_comment(comment)[0]["dir"], bytes.fromhex(data).decode().strip()) for comment, data in rows]
        wanted = [(way, f"{way} line {i}") for i in range(3) for way in ("up", "down") for _ in "ab"]
        check_equal(texts, wanted, f"{cipher}: each line as it came and as it left")


def start_on_a_small_disk(scene, prepare):
    """Starts a proxy that writes to a tmpfs of 128 KiB that only it sees; returns it and the capture's path for us."""
    mount = scene.folder / "small"
    mount.mkdir()
    script = f'cd / && mount -t tmpfs -o size=128k none "$0" && {{ {prepare}; }} && exec "$@"'
    enter = ["unshare", "-m", "sh", "-c", script, str(mount)]
    if not shutil.which("unshare") or h.run(*enter, "true").returncode:
        raise h.Skip("needs root, for a mount of its own")
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\nstrict = yes\n", "-w",
                        mount / "capture.pcapng", capture=False, prefix=enter).await_ready()
    return proxy, pathlib.Path(f"/proc/{proxy.pid}/root{mount}/capture.pcapng")


@test
def addresses_have_the_names_of_their_sections_and_of_the_cloud(scene):
    cloud = scene.cloud()
    more = "[device meter]\naddress = 127.0.0.1\n"
    proxy = scene.proxy(more, upstream=f"LocalHost:{cloud.port}")  # in lower case, localhost counts as an address
    device = scene.device(proxy)
    device.ask(b"hello")
    proxy.signal(signal.SIGUSR2)
    second = proxy.capture.with_name("capture-2.pcapng")
    h.until(lambda: second.exists() and second.stat().st_size, "the second file")
    device.ask(b"again")
    proxy.stop()
    for path in (proxy.capture, second):
        found, rest = blocks(path)
        check_equal(rest, b"")
        names = b"".join(body for kind, body in found if kind == NAMES)
        for name in (b"meter\0", b"LocalHost\0"):
            check_equal(names.count(name), 1, f"{name} in {path.name}")
    first = [kind for kind, _ in blocks(second)[0]]
    check(first.index(NAMES) < first.index(ENHANCED), "names come before the packets that need them")
    check_equal(h.run("capinfos", proxy.capture, second).returncode, 0)


@test
def a_capture_that_is_taken_away_begins_anew(scene):
    folder = scene.path("away")
    folder.mkdir()
    proxy = scene.start(f"[proxy]\nlisten = 127.0.0.1:0\nupstream = {scene.cloud()}\n", "-w", folder / "c.pcapng",
                        "--no-sandbox", capture=False).await_ready()
    device = scene.device(proxy)
    device.ask(b"before")
    shutil.rmtree(folder)
    proxy.told("capture: it was removed, and now .*No such file")
    proxy.summary_when(lambda s: s["capture"]["lost"] or not device.ask(b"while it is away"), "records to be lost")
    check_equal(len([line for line in proxy.lines if "capture:" in line]), 1, "the number of messages about it")
    folder.mkdir()

    def goes_on():
        device.ask(b"after")
        return (folder / "c.pcapng").exists() and (folder / "c.pcapng").stat().st_size > 1000

    h.until(goes_on, "the capture to go on")
    summary = proxy.stop()
    check_equal(summary["totals"]["up"]["sent"], summary["totals"]["up"]["received"], "no datagram was lost")
    check(h.departures(h.read_capture(folder / "c.pcapng")), "the new file holds packets")


@test
def a_full_disk_costs_no_datagram(scene):
    proxy, path = start_on_a_small_disk(scene, "true")
    device, sent, lost = scene.device(proxy), 0, 0
    while not lost:
        check(sent < 500, f"{sent} datagrams of 1000 bytes each way fit into 128 KiB?")
        for _ in range(5):
            check_equal(len(device.ask(bytes(1000))), 1000)
        sent += 5
        summary = proxy.summary_when(lambda s, n=4 * sent: sum(s["capture"].values()) >= n, "the writer to catch up")
        lost = summary["capture"]["lost"]
    check(summary["capture"]["written"] >= 60, f"the earlier records are written: {summary['capture']}")
    proxy.told("capture: .*No space left")
    found, rest = blocks(path)
    check_equal((found[0][0], rest), (SECTION, b""))
    check(len([kind for kind, _ in found if kind == ENHANCED]) >= 60, "the earlier packets are in the file")
    summary = proxy.stop(status=3)
    check_equal((summary["totals"]["up"]["sent"], summary["totals"]["down"]["sent"]), (sent, sent))
    check_equal([f.get("check") for f in summary["failed"]], ["strict"])
    check(summary["capture"]["lost"] > 0, summary["capture"])


@test
def a_disk_that_gets_room_again_holds_a_whole_capture(scene):
    proxy, path = start_on_a_small_disk(scene, 'head -c 300k /dev/zero > "$0/filler" 2>/dev/null; true')
    device = scene.device(proxy)
    device.ask(b"while it is full")
    proxy.told("capture: .*No space left")
    path.with_name("filler").unlink()

    def written():
        device.ask(b"while there is room")
        return path.exists() and path.stat().st_size > 1000  # the file gets its name once its header is written

    h.until(written, "the capture to go on")
    found, _ = blocks(path)
    check_equal(found[0][0], SECTION, "type of the first block")
    check_equal([kind for kind, _ in found].count(INTERFACE), 3)
    copy = scene.path("copy.pcapng")
    copy.write_bytes(path.read_bytes())
    check(h.departures(h.read_capture(copy)), "the capture holds nothing that was sent")
    proxy.stop(status=3)


if __name__ == "__main__":
    h.run_all()
