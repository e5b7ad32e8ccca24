#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that move to another cloud: `do = upstream HOST:PORT` and `upstream back`."""

import json
import re
import signal
import time

import dtls
from checks import check, check_equal, until
from harness import TOP, Skip, deadzone, run_all, test
from lab import Lab
from shark import arrivals, events, read_capture, tshark
from sockets import free_port


def control_of(scene):
    path = scene.path("control")
    return f"[control]\nlisten = unix:{path}\n", f"unix:{path}"


def tell(to, *words, status=0):
    done = deadzone("tell", "--to", to, *words)
    check_equal(done.returncode, status, done.stderr)
    return done


@test
def a_rule_moves_the_session_and_keeps_its_port(scene):
    one, two = scene.cloud(), scene.cloud()
    proxy = scene.proxy(f"[rule over]\nsize = 4\nlimit = 1\ndo = upstream {two}\n[rule home]\nsize = 5\nlimit = 1\ndo = upstream back\n", upstream=one)
    device = scene.device(proxy)
    check_equal(device.ask(b"1"), b"1")
    check_equal(device.ask(b"over"), b"over", "the datagram that fires the rule already goes to the other server")
    check_equal([one.datas, two.datas], [[b"1"], [b"over"]])
    port = one.received[0][1]
    check_equal(two.received[0][1], port, "from the same source port")
    one.udp.sendto(b"late", port)
    proxy.when_received(3, "down")
    check_equal(device.pending(), [], "datagrams that the old server still sends do not pass")
    check_equal(device.ask(b"hhome"), b"hhome")
    two.udp.sendto(b"late too", port)
    proxy.when_received(5, "down")
    check_equal(device.ask(b"end"), b"end")
    check_equal([one.datas, two.datas], [[b"1", b"hhome", b"end"], [b"over"]])
    check_equal({row[1] for row in one.received}, {port}, "the session goes back from the same port")
    summary = proxy.stop()
    session = summary["sessions"][0]
    check_equal(session["down"]["dropped"], {"filtered": 2})
    check_equal([session["cloud"], session["rebinds"], session["old_ports"]], [str(one), 0, 1])
    packets = read_capture(proxy.capture)
    check_equal([row for row in events(packets) if "upstream" in row],
                [f"s=1 upstream {two} by=rule:over", "s=1 upstream back by=rule:home"])
    left = [a for a in arrivals(packets) if a.fields.get("reason") == "filtered"]
    check_equal(len(left), 2)
    ports = tshark(proxy.capture, "-Y", "frame.comment contains \"filtered\"", "-T", "fields", "-e", "udp.srcport").split()
    check_equal(ports, [str(one.port), str(two.port)], "the capture says where they came from")
    report = json.loads(deadzone("report", proxy.capture, "--json").stdout)["sessions"][0]
    check_equal([report["cloud"], report["down"]["dropped"]], [session["cloud"], session["down"]["dropped"]])
    check_equal([(m["to"], m["by"], m["handshake_after_seconds"]) for m in report["moves"]],
                [(str(two), "rule:over", None), ("back", "rule:home", None)])
    check(all(m["answered_after_seconds"] is not None for m in report["moves"]), report["moves"])
    told = deadzone("report", proxy.capture).stdout
    check(re.search(r"moved  at 0\.\d s to its own server by rule:home: answered after 0\.\d s, no new handshake", told), told)


@test
def the_api_moves_all_and_sessions_to_come(scene):
    one, two = scene.cloud(), scene.cloud()
    section, to = control_of(scene)
    proxy = scene.proxy(section, upstream=one, ready=1)
    first = scene.device(proxy)
    first.ask(b"first")
    tell(to, "do", f"upstream {two}")
    check_equal(first.ask(b"moved"), b"moved")
    later = scene.device(proxy)
    check_equal(later.ask(b"later"), b"later")
    tell(to, "do", "upstream back", "--session", "1")
    first.ask(b"home")
    tell(to, "do", "upstream back")
    last = scene.device(proxy)
    last.ask(b"last")
    check_equal([one.datas, two.datas], [[b"first", b"home", b"last"], [b"moved", b"later"]])
    refused = tell(to, "do", f"upstream 127.0.0.1:{proxy.port}", "--session", "1", status=1)
    check("leads back to our own listener" in refused.stderr, refused.stderr)
    first.ask(b"still home")
    tell(to, "do", "upstream [::1]:9", "--session", "1")
    proxy.told("no address of the session's family")
    first.ask(b"and still")
    check("is written `upstream HOST:PORT or back`" in tell(to, "do", "upstream", status=1).stderr, "the error gives the syntax")
    check_equal(one.datas[-2:], [b"still home", b"and still"])
    tell(to, "do", "upstream nosuch.invalid:1", "--session", "99", status=1)
    proxy.stop()
    check(not any("nosuch" in line for line in proxy.lines), f"a name is looked up for nobody: {proxy.lines}")


@test
def a_timed_rule_for_all_and_a_name(scene):
    one, two = scene.cloud(), scene.cloud()
    proxy = scene.proxy(f"[rule over]\nscope = all\nat = 10ms\ndo = upstream localhost:{two.port}\n"
                        "[device slow]\nnat_timeout = 50ms\n", upstream=one)
    proxy.told("note|ready")
    device = scene.device(proxy)

    def moved():
        device.send(b"x")
        return b"x" in two.datas

    until(moved, "the session to be moved")
    ports = {row[1] for row in two.received}
    time.sleep(0.06)  # longer than the mapping lives
    device.send(b"rebound")
    until(lambda: b"rebound" in two.datas, "a datagram after the rebinding at the new server")
    check(any(row[1] not in ports for row in two.received), "it left from another port")
    check_equal(proxy.stop()["sessions"][0]["cloud"], str(two))


@test
def a_server_that_does_not_know_the_session(scene):
    """OpenSSL: the other server lacks the session's state, so the device must begin anew, from the same port."""
    dtls.need("openssl")
    cipher = dtls.PSK_CIPHERS[0]
    one, two = (dtls.openssl_psk_server(scene, cipher) for _ in range(2))
    section, to = control_of(scene)
    proxy = scene.proxy(section, upstream=f"127.0.0.1:{one.port}", ready=1)
    bind = f"127.0.0.1:{free_port()}"
    client = dtls.openssl_client(scene, proxy.port, "-bind", bind, *dtls.openssl_secret(cipher))
    dtls.exchange(client, one)
    tell(to, "do", f"upstream 127.0.0.1:{two.port}")
    before = proxy.when_received(1)["totals"]["up"]["received"]
    client.say("nobody understands this")
    proxy.when_received(before + 1)
    client.program.signal(signal.SIGKILL)
    client.program.wait()
    client = dtls.openssl_client(scene, proxy.port, "-bind", bind, *dtls.openssl_secret(cipher))
    dtls.exchange(client, two)
    summary = proxy.stop()
    check_equal([(s["handshakes"], s["cloud"]) for s in summary["sessions"]], [(2, f"127.0.0.1:{two.port}")])
    move = json.loads(deadzone("report", proxy.capture, "--json").stdout)["sessions"][0]["moves"][0]
    check(move["handshake_after_seconds"] >= 0 and move["answered_after_seconds"] >= move["handshake_after_seconds"], move)
    check(re.search(r"to 127.0.0.1:\d+ by api: answered after \d+\.\d s, new handshake after \d+\.\d s", deadzone("report", proxy.capture).stdout), "the move in the text")


@test
def a_server_that_goes_on_by_connection_id(scene):
    """Mbed TLS: another node of a cluster shares the session's state, and finds it by the connection ID."""
    peer = TOP / "build/ota/cid-peer"
    if not peer.exists():
        raise Skip("cid-peer is not built (make ota)")
    server = dtls.start(scene, peer, "server")
    ports = server.program.told(r"ports (\d+) (\d+)").groups()
    section, to = control_of(scene)
    proxy = scene.proxy(section, upstream=f"127.0.0.1:{ports[0]}", ready=1)
    client = dtls.start(scene, peer, "client", proxy.port)
    for one in (client, server):
        one.hears("handshake done")

    def ask(line, node, count):
        client.say(line)
        client.hears(line)
        server.program.told(f"^at {node}$", count)

    ask("at home", "A", 1)
    for target, node, count in ((f"127.0.0.1:{ports[1]}", "B", 1), ("back", "A", 2)):
        tell(to, "do", f"upstream {target}")
        ask(f"moved {target}", node, count)
    session = proxy.stop()["sessions"][0]
    check_equal([session["handshakes"], session["up"]["dropped"], session["down"]["dropped"]], [1, {}, {}])
    moves = json.loads(deadzone("report", proxy.capture, "--json").stdout)["sessions"][0]["moves"]
    check_equal([(move["to"], move["handshake_after_seconds"]) for move in moves], [(f"127.0.0.1:{ports[1]}", None), ("back", None)])
    check(all(move["answered_after_seconds"] is not None for move in moves), moves)


@test
def with_the_device_as_the_source(scene):
    lab = Lab(scene)
    one, two = lab.server(), lab.server(port=7777)
    proxy = lab.proxy(f"[gateway]\ninterface = wlan0\nsource = device\n[rule over]\nscope = device\nsize = 4\ndo = upstream {two}\n")
    device = lab.client()
    check_equal([device.ask(b"1"), device.ask(b"over"), device.ask(b"2")], [b"1", b"over", b"2"])
    check_equal([row[1] for row in (*one.received, *two.received)], [(lab.DEVICE, device.port)] * 3)
    one.udp.sendto(b"late", (lab.DEVICE, device.port))
    proxy.when_received(4, "down")
    check_equal(proxy.stop()["sessions"][0]["down"]["dropped"], {"filtered": 1})


if __name__ == "__main__":
    run_all()
