#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Captures from the field: compressed, piped, in parts, merged, fragmented, cut, with clocks that step."""

import gzip
import json
import struct
import subprocess

import harness as h
from checks import check, check_equal
from packets import CLOUD, CLOUD6, DEVICE, DEVICE6, ETHERNET, framed, ip, ip_bytes, pcap, udp
from summaries import differences

START = 1_700_000_000


def record(kind, epoch, number, body):
    return struct.pack("!BHHHIH", kind, 0xFEFD, epoch, number >> 32, number & 0xFFFFFFFF, len(body)) + body


def handshake(kind, number, body):
    size = len(body).to_bytes(3, "big")
    return bytes([kind]) + size + struct.pack("!H", number) + bytes(3) + size + body


HELLO = record(22, 0, 0, handshake(1, 0, b"\xfe\xfd" + b"R" * 32 + b"\0\0" + b"\0\2\xc0\xa8\1\0"))
SERVER_HELLO = record(22, 0, 0, handshake(2, 0, b"\xfe\xfd" + b"S" * 32 + b"\0\xc0\xa8\0"))
DONE = record(22, 0, 1, handshake(14, 1, b""))
CERTIFICATE = record(22, 0, 1, handshake(11, 1, b"C" * 2500))
KEY_EXCHANGE = record(22, 0, 1, handshake(16, 1, b"\0\4user"))


def finish(number, letter):
    return record(20, 0, number, b"\1") + record(22, 1, 0, letter * 40)


def exchange(device=DEVICE, cloud=CLOUD, start=START, rounds=5):
    """Returns a full handshake of 0.3 s and some data, as pairs of time and packet."""
    talk = [(0, 0, HELLO), (0.1, 1, SERVER_HELLO + DONE), (0.2, 0, KEY_EXCHANGE + finish(2, b"F")), (0.3, 1, finish(2, b"G"))]
    for i in range(rounds):
        talk += [(1 + i, 0, record(23, 1, 1 + i, b"x" * 30)), (1.1 + i, 1, record(23, 1, 1 + i, b"y" * 300))]
    ends = ((device, cloud), (cloud, device))
    return [(start + at, ip(*ends[way], payload)) for at, way, payload in talk]


def write(scene, name, packets, **options):
    path = scene.path(name)
    path.write_bytes(pcap(ETHERNET, [(at, framed(ETHERNET, packet)) for at, packet in packets], **options))
    return path


def report(*words, status=0, **options):
    done = h.deadzone("report", "--json", *words, **options)
    check_equal(done.returncode, status, f"report {words}: {done.stderr}")
    return json.loads(done.stdout) if status == 0 else done.stderr


def simulate(scene, *words, ini="", status=0):
    path = scene.path("simulated.json")
    done = h.deadzone("simulate", "-c", scene.path("field.ini", ini), *words, "--json", path)
    check_equal(done.returncode, status, f"simulate {words}: {done.stderr}")
    return h.read_json(path) if status == 0 else done.stderr


def handshakes(told):
    return [(one["kind"], one["seconds"]) for session in told["sessions"] for one in session["dtls"]["handshakes"]]


def received(told):
    return [(s["device"], s["up"]["received"], s["down"]["received"]) for s in told["sessions"]]


def check_in(words, text):
    check(words in text, f"{words!r} is not in {text!r}")


FULL = [("full", 0.3)]
WHOLE = [("192.0.2.7:40112", 7, 7)]


def bare(told):
    """Returns the report without its notes about the files."""
    return {key: value for key, value in told.items() if key != "notes"}


@h.test
def compressed_and_piped_captures(scene):
    plain = write(scene, "plain.pcap", exchange())
    want = bare(report(plain))
    check_equal(received(want), WHOLE)
    content = plain.read_bytes()
    zipped = scene.path("field.pcap.gz")
    zipped.write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    squeezed = scene.path("field.pcap.zst")
    squeezed.write_bytes(subprocess.run(["zstd", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout)
    for path in (zipped, squeezed):
        check_equal(bare(report(path)), want, path)
        check_equal(received(simulate(scene, "-r", path)), WHOLE)
    for path in (plain, zipped, squeezed):
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as pipe:
            check_equal(bare(report("-", stdin=pipe.stdout)), want, f"{path} through a pipe")
        with path.open("rb") as file:
            check_equal(bare(report("-", stdin=file)), want, f"{path} on standard input")
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as pipe:
            done = h.deadzone("simulate", "-c", scene.path("pipe.ini", ""), "-r", "-", stdin=pipe.stdout)
        check_equal(done.returncode, 0, done.stderr)
    rules = h.deadzone("replay-rules", scene_capture(scene, gz=True), "-o", "-")
    check_equal(rules.returncode, 0, rules.stderr)


def scene_capture(scene, gz=False):
    """Returns a capture of ours, made by simulate."""
    out = scene.path("ours.pcapng")
    simulate(scene, "-r", write(scene, "source.pcap", exchange()), "-w", out, ini="[link default]\nloss = 30%\n[proxy]\nseed = 1\n")
    if not gz:
        return out
    zipped = scene.path("ours.pcapng.gz")
    zipped.write_bytes(gzip.compress(out.read_bytes()))
    return zipped


@h.test
def a_compressed_file_that_ends_early_is_read_up_to_there(scene):
    content = gzip.compress(write(scene, "plain.pcap", exchange(rounds=400)).read_bytes())
    zipped = scene.path("cut.pcap.gz")
    zipped.write_bytes(content[:len(content) // 2])
    done = h.deadzone("report", zipped)
    check_equal(done.returncode, 0, done.stderr)
    check("ends in the middle of a packet" in done.stdout, done.stdout)
    check(0 < report(zipped)["totals"]["up"]["received"] < 404, "a part of it is read")
    for name, head, words in (("x.xz", b"\xfd7zXZ\0", "xz -d"), ("x.bz2", b"BZh9", "bzip2 -d"), ("x.zip", b"PK\3\4", "unpack")):
        path = scene.path(name)
        path.write_bytes(head + bytes(100))
        check_in(words, report(path, status=2))
    check_in("is a folder", report(scene.path("."), status=2))


@h.test
def what_stands_around_compressed_data(scene):
    plain = write(scene, "plain.pcap", exchange()).read_bytes()
    squeezed = subprocess.run(["zstd", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
    frames = b"".join(subprocess.run(["zstd", "-c"], input=part, stdout=subprocess.PIPE, check=True).stdout
                      for part in (plain[:100], plain[100:]))
    zipped = gzip.compress(plain)
    for name, content in (("padded.gz", zipped + bytes(600)), ("trailing.gz", zipped + b"garbage\n"), ("padded.zst", squeezed + bytes(64)),
                          ("skipped.zst", b"\x50\x2a\x4d\x18\4\0\0\0abcd" + squeezed), ("two.zst", frames)):
        path = scene.path(name)
        path.write_bytes(content)
        done = h.deadzone("report", path)
        check_equal(done.returncode, 0, name + done.stderr)
        check("ends in the middle" not in done.stdout and "damaged" not in done.stdout, f"{name}: {done.stdout[:300]}")
        check_equal(received(report(path)), WHOLE, name)
    path = scene.path("checksum.gz")
    path.write_bytes(zipped[:-8] + bytes(4) + zipped[-4:])
    check_in("its compressed data is damaged", h.deadzone("report", path).stdout)
    for name, content, words in (("short.gz", zipped[:5], "cut off"), ("short.zst", squeezed[:6], "cut off"), ("twice.gz", gzip.compress(zipped), "compressed twice")):
        path = scene.path(name)
        path.write_bytes(content)
        check_in(words, report(path, status=2))
    path = scene.path("same.gz")
    path.write_bytes(zipped)
    (scene.folder / "link.gz").symlink_to(path)
    check_in("is given twice", report(path, scene.folder / "link.gz", status=2))


ROTATED = """[proxy]
seed = 4
[link default]
latency = 20ms
loss = 10%
[rule some]
nth = every 7
do = note
[capture]
file = {folder}/run.pcapng
rotate_size = 64KiB
"""


def rotated(scene):
    """Returns the parts of a run's rotated capture, in order, and the run's own summary."""
    source = write(scene, "long.pcap", exchange(rounds=800))
    summary = simulate(scene, "-r", source, ini=ROTATED.format(folder=scene.path(".")))
    parts = sorted(scene.path(".").glob("run*.pcapng"), key=lambda path: int(path.stem.partition("-")[2] or 1))
    check(len(parts) > 4, parts)
    return parts, summary


@h.test
def parts_of_a_rotated_run_are_one(scene):
    parts, summary = rotated(scene)
    for order in (parts, parts[::-1], parts[1::2] + parts[::2]):
        told = report(*order)
        check_equal(list(differences(summary, told)), [])
        check_equal(told["notes"], [])
    last = len(parts)
    copy, empty = scene.path("copy.pcapng"), scene.path("empty.pcapng")
    copy.write_bytes(parts[3].read_bytes())
    check_in("are both part 4 of the run", report(*parts, copy, status=2))
    subprocess.run(["tshark", "-r", parts[0], "-Y", "udp.port == 1", "-w", empty], check=True, stderr=subprocess.DEVNULL)
    check_equal(report(*parts, empty)["rules"], summary["rules"])
    for some, want in ((parts[1:], ["part 1 of the run is missing"]),
                       (parts[:2] + parts[4:], ["parts 3 to 4 of the run are missing"]),
                       (parts[:3], ["the run goes on in another file, part 4"])):
        notes = report(*some)["notes"]
        check_equal([note for note in notes if "run" in note], want)
    check_equal(report(parts[last - 1])["rules"], summary["rules"])
    check_equal(received(simulate(scene, *[word for part in parts for word in ("-r", part)])), received(summary))
    rules = h.deadzone("replay-rules", *parts, "-o", "-")
    check_equal(rules.returncode, 0, rules.stderr)


@h.test
def a_capture_of_ours_keeps_its_verdicts_through_other_tools(scene):
    parts, summary = rotated(scene)
    merged, sides = scene.path("merged.pcapng"), [scene.path("device.pcapng"), scene.path("cloud.pcapng")]
    subprocess.run(["mergecap", "-w", merged, *parts], check=True)
    for side in sides:
        subprocess.run(["tshark", "-r", merged, "-Y", f'frame.interface_name == "{side.stem}"', "-w", side],
                       check=True, stderr=subprocess.DEVNULL)
    for paths in ([merged], sides):
        told = report(*paths)
        for way in ("up", "down"):
            check_equal({k: told["totals"][way][k] for k in ("received", "sent", "dropped")},
                        {k: summary["totals"][way][k] for k in ("received", "sent", "dropped")}, paths)
        check(any("rewritten by" in note for note in told["notes"]), told["notes"])
    check_equal(received(simulate(scene, "-r", merged)), received(summary))


@h.test
def a_part_of_a_capture_of_ours_says_what_is_missing(scene):
    whole = scene_capture(scene)
    out = scene.path("part.pcapng")
    for condition, note, refused in (("frame.interface_name == cloud", "nothing of the interface `device`", True),
                                     ("frame.interface_name == device", "nothing of the interface `cloud`", False),
                                     ("frame.packet_flags == 2", "only what left is in it", True),
                                     ("frame.packet_flags == 1", "only what arrived is in it", False)):
        subprocess.run(["tshark", "-r", whole, "-Y", condition.replace("== cloud", '== "cloud"').replace("== device", '== "device"'), "-w", out],
                       check=True, stderr=subprocess.DEVNULL)
        told = report(out)
        check(any(note in one for one in told["notes"]), f"{condition}: {told['notes']}")
        if condition.endswith("cloud"):
            check_equal(told["sessions"][0]["device"], None)
            check_in("device unknown", h.deadzone("report", out).stdout)
        if refused:
            check_in("it holds no datagram that arrived", simulate(scene, "-r", out, status=2))
        else:
            simulate(scene, "-r", out)


@h.test
def files_that_do_not_belong_together_are_refused(scene):
    ours, field = scene_capture(scene), write(scene, "field.pcap", exchange())
    other = scene.path("other.pcapng")
    simulate(scene, "-r", field, "-w", other, ini="[proxy]\nseed = 2\n")
    check_in("is a capture of deadzone, and", report(ours, field, status=2))
    check_in("are of different runs (seeds 1 and 2)", report(ours, other, status=2))
    check_in("is given twice", report(field, field, status=2))


@h.test
def captures_of_the_same_time_are_merged(scene):
    packets = exchange()
    first = write(scene, "up.pcap", packets[::2])
    second = write(scene, "down.pcap", packets[1::2])
    told = report(second, first)
    check_equal((received(told), handshakes(told), told["notes"][1:]), (WHOLE, FULL, []))


def ipv4_fragments(source, target, payload, identification, size=1480):
    whole = udp(source, target, payload)
    for at in range(0, len(whole), size):
        part = whole[at:at + size]
        more = 0x2000 if at + size < len(whole) else 0
        yield struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), identification, more | at // 8, 64, 17, 0) + \
            ip_bytes(source[0]) + ip_bytes(target[0]) + part


def ipv6_fragments(source, target, payload, identification, size=1232):
    whole = udp(source, target, payload)
    for at in range(0, len(whole), size):
        part = whole[at:at + size]
        more = 1 if at + size < len(whole) else 0
        yield struct.pack("!IHBB", 6 << 28, 8 + len(part), 44, 64) + ip_bytes(source[0]) + ip_bytes(target[0]) + \
            struct.pack("!BBHI", 17, 0, at | more, identification) + part


@h.test
def fragments_are_put_together(scene):
    flight = SERVER_HELLO + CERTIFICATE
    for device, cloud, cut in ((DEVICE, CLOUD, ipv4_fragments), (DEVICE6, CLOUD6, ipv6_fragments)):
        packets = exchange(device, cloud)
        parts = [(START + 0.1 + i / 1000, part) for i, part in enumerate(cut(cloud, device, flight, 77))]
        backwards = [(at, part) for (at, _), (_, part) in zip(parts, reversed(parts))]
        twice = [(at + k / 1e5, part) for at, part in parts for k in (0, 1)]
        for form in (parts, backwards, twice):
            path = write(scene, "fragments.pcap", packets[:1] + form + packets[2:])
            told = report(path)
            check_equal(handshakes(told), FULL)
            session = told["sessions"][0]
            check_equal((session["up"]["received"], session["down"]["received"]), (7, 7))
            check_equal(session["down"]["bytes"], len(flight) + 67 + 5 * 313)
            messages = session["dtls"]["handshakes"][0]["messages"]
            check("certificate" in [one["message"] for one in messages], messages)
            check_equal(simulate(scene, "-r", path)["totals"]["down"]["received"], 7)
        whole = [(START + i, part) for i, part in enumerate(cut(device, cloud, bytes(4000), 9))]
        foreign = [(at, bytes([part[0]]) + part[1:9] + bytes([1]) + part[10:]) for at, part in whole] if cut is ipv4_fragments else []
        notes = report(write(scene, "icmp.pcap", packets + [(at, part) for at, part in foreign]))["notes"]
        check(not any("fragments" in note for note in notes), notes)
        check(not foreign or any("1 ICMP" in note for note in notes), notes)
        path = write(scene, "hole.pcap", packets[:1] + parts[:1] + packets[2:])
        notes = report(path)["notes"]
        check(any("1 fragments of datagrams that are not whole" in note for note in notes), notes)


@h.test
def the_client_hello_tells_who_is_the_device(scene):
    device = (DEVICE[0], 5684)
    path = write(scene, "sameport.pcap", exchange(device))
    told = report(path)
    check_equal((received(told), handshakes(told)), ([("192.0.2.7:5684", 7, 7)], FULL))
    check_equal(received(simulate(scene, "-r", path)), received(told))
    # The capture begins with an answer to an earlier datagram.
    late = [(START - 1, ip(CLOUD, device, record(23, 1, 9, b"z" * 20)))]
    check_equal(received(report(write(scene, "late.pcap", late + exchange(device)))), [("192.0.2.7:5684", 7, 8)])


@h.test
def a_prefix_that_holds_both_ends_makes_no_device_of_the_cloud(scene):
    near = ("192.0.2.200", 5684)
    path = write(scene, "private.pcap", exchange(cloud=near))
    told = report(path, "--device", "192.0.2.0/24")
    check_equal((received(told), handshakes(told)), (WHOLE, FULL))
    other = write(scene, "other-port.pcap", exchange(cloud=("192.0.2.200", 7000)))
    check_equal(received(report(other, "--device", "192.0.2.0/24")), WHOLE)


@h.test
def our_pcapng_turned_into_classic_pcap_is_ours_still(scene):
    ours, classic = scene_capture(scene), scene.path("classic.pcap")
    subprocess.run(["editcap", "-F", "pcap", ours, classic], check=True)
    told = report(classic)
    check_equal(received(told), WHOLE)
    check_equal(told["totals"]["up"]["dropped"], report(ours)["totals"]["up"]["dropped"])


@h.test
def a_session_is_a_device_and_the_address_it_spoke_to(scene):
    second = ("198.51.100.10", 5684)
    path = write(scene, "two-clouds.pcap", sorted(exchange() + exchange(cloud=second, start=START + 0.05)))
    told = report(path)
    check_equal((received(told), handshakes(told)), (WHOLE * 2, FULL * 2))
    check_equal(received(simulate(scene, "-r", path)), WHOLE * 2)


@h.test
def answers_before_their_questions_have_left_pass_the_nat(scene):
    packets = [(START + i * 0.5 + way * 0.02, ip(*ends, b"q")) for i in range(11)
               for way, ends in enumerate(((DEVICE, CLOUD), (CLOUD, DEVICE)))]
    quiet = [(START + 100, ip(DEVICE, CLOUD, b"q")), (START + 100.02, ip(CLOUD, DEVICE, b"a")), (START + 140, ip(CLOUD, DEVICE, b"late"))]
    path = write(scene, "lan.pcap", packets + quiet)
    ini = "[link default]\nlatency = 300ms\n[device all]\naddress = 0.0.0.0/0\nnat_timeout = 30s\n"
    told = simulate(scene, "-r", path, ini=ini)
    check_equal((told["totals"]["up"]["sent"], told["totals"]["down"]["sent"]), (12, 12))
    check_equal(told["totals"]["down"]["dropped"], {"nat-expired": 1})
    check_equal(told["sessions"][0]["rebinds"], 1)
    done = h.deadzone("simulate", "-c", scene.path("field.ini"), "-r", path)
    check_in("open loop: recorded peers do not react", done.stderr)
    check_in("a NAT mapping is made when a question arrives", done.stderr)


@h.test
def clocks_that_step_and_packets_out_of_order(scene):
    packets = exchange()
    told = report(write(scene, "shuffled.pcap", packets[::-1]))
    check_equal((received(told), handshakes(told)), (WHOLE, FULL))
    check(any("13 packets were out of order by up to 5.1 s" in note for note in told["notes"]), told["notes"])
    for name, stamped in (("back", [packets[0]] + [(at - START + 5, packet) for at, packet in packets[1:]]),
                          ("forward", [(5, packets[0][1])] + packets[1:])):
        path = write(scene, f"{name}.pcap", stamped)
        told = report(path)
        check_equal((received(told), handshakes(told)), (WHOLE, [("full", None)]))
        check(any(f"the clock steps {name} by 54 years at packet 2" in note for note in told["notes"]), told["notes"])
        check_in("time unknown: the clock was stepped", h.deadzone("report", path).stdout)
        check(4.9 < told["sessions"][0]["seconds"] < 5.1, told["sessions"][0]["seconds"])
        check_equal(received(simulate(scene, "-r", path)), WHOLE)


@h.test
def stamps_after_2038(scene):
    path = write(scene, "2040.pcap", exchange(start=2_300_000_000))
    told = report(path)
    check_equal((received(told), handshakes(told)), (WHOLE, FULL))
    check(told["started"].startswith("2042-11-19"), told["started"])


@h.test
def a_short_snaplen_is_told_and_guesses_nothing(scene):
    told = report(write(scene, "snap.pcap", exchange(), snaplen=64))
    check_equal(received(told), WHOLE)
    check_equal(told["sessions"][0]["network"]["up"]["data_bytes"], 150)
    check_equal(told["sessions"][0]["network"]["down"]["data_bytes"], 1500)
    check(all(kind in ("full", "unknown", "unfinished") for kind, _ in handshakes(told)), handshakes(told))
    check(any("14 datagrams the capture holds only the first bytes" in note for note in told["notes"]), told["notes"])


@h.test
def what_a_capture_holds_instead_is_said(scene):
    tcp = bytearray(ip(DEVICE, CLOUD, b"tcp"))
    tcp[9] = 6
    path = write(scene, "tcp.pcap", [(START, bytes(tcp))] * 3)
    for words in (["report", path], ["simulate", "-c", scene.path("s.ini", ""), "-r", path]):
        done = h.deadzone(*words)
        check_equal((done.returncode, done.stdout), (2, ""))
        check("it holds no UDP datagrams, but 3 TCP" in done.stderr, done.stderr)
    path.write_bytes(pcap(189, [b"x" * 40]))
    check_in("1 of a link layer that deadzone does not read (USB_LINUX, DLT 189)", report(path, status=2))
    path.write_bytes(pcap(ETHERNET, []))
    check_in("no other packets", report(path, status=2))
    coap = ("198.51.100.9", 5683)
    path = write(scene, "coap.pcap", [(START, ip(DEVICE, coap, b"\x40\1\0\1"))] * 4)
    check_in("192.0.2.7:40112 to 198.51.100.9:5683 (4)", report(path, status=2))


h.run_all()
