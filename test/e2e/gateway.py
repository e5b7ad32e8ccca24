#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Interception on a gateway, for devices whose server is fixed; each test has its own network namespaces."""

import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess

import dtls
from checks import Failure, Skip, check, check_equal, run, until
from harness import BINARY, deadzone, read_json, run_all, test
from lab import Lab
from shark import read_capture, tshark

def need_programs(*names):
    for name in names:
        if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin"):
            raise Skip(f"{name} is not installed")


# A user who does without [gateway] could load this table.
OWN_TABLE = """table inet own {
 chain pre {
  type filter hook prerouting priority mangle; policy accept;
  iifname "wlan0" meta l4proto udp meta nfproto ipv4 meta mark set 0x1 tproxy ip to 127.0.0.1:15684 accept
  iifname "wlan0" meta l4proto udp meta nfproto ipv6 meta mark set 0x1 tproxy ip6 to :15684 accept
 }
}
"""


def redirect_by_hand(lab):
    lab.nft(OWN_TABLE)
    for family in ("-4", "-6"):
        lab.gateway.run("ip", family, "rule", "add", "fwmark", "1", "lookup", "77")
        lab.gateway.run("ip", family, "route", "add", "local", "default", "dev", "lo", "table", "77")


@test
def each_session_goes_where_its_device_sent_it(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    clouds = [lab.server(port=5684), lab.server(port=5685), lab.server(lab.CLOUD6, 5684)]
    proxy = lab.proxy(listen="127.0.0.1:15684, [::]:15684")
    device = lab.client()
    check_equal(device.ask(b"one"), b"one")
    with lab.device:
        other = scene.device((lab.CLOUD, 5685), host=lab.DEVICE, port=0)
    check_equal(other.ask(b"two"), b"two")
    check_equal(lab.client(lab.CLOUD6).ask(b"six"), b"six")
    for size in (3000, 20000):
        check_equal(device.ask(b"x" * size), b"x" * size, "a datagram above the MTU")
    check_equal([cloud.datas[0] for cloud in clouds], [b"one", b"two", b"six"])
    check_equal(clouds[0].received[0][1][0], lab.UPLINK, "the cloud sees the gateway's address")
    summary = proxy.stop()
    check_equal([s["cloud"] for s in summary["sessions"]],
                [f"{lab.CLOUD}:5684", f"{lab.CLOUD}:5685", f"[{lab.CLOUD6}]:5684"])
    rows = set(tshark(proxy.capture, "-Y", "udp", "-T", "fields", "-e", "ip.src", "-e", "ip.dst").splitlines())
    check({f"{lab.DEVICE}\t{lab.CLOUD}", f"{lab.CLOUD}\t{lab.DEVICE}", f"{lab.UPLINK}\t{lab.CLOUD}"} <= rows,
          f"the capture has the real addresses: {rows}")


@test
def two_clouds_of_one_socket_are_two_sessions(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    lab.server(port=5684)
    lab.server(port=5683)
    proxy = lab.proxy()
    device = lab.client()
    for port in (5684, 5683, 5684):
        device.udp.connect((lab.CLOUD, port))
        check_equal(device.ask(b"to %d" % port), b"to %d" % port)
    summary = proxy.stop()
    check_equal([s["up"]["received"] for s in summary["sessions"]], [2, 1])


@test
def what_is_sent_to_deadzone_itself_is_refused(scene):
    lab = Lab(scene)
    proxy = lab.proxy(listen="0.0.0.0:15684")
    lab.client(lab.GATEWAY, 15684).send(b"one", b"two")
    proxy.told("sends to deadzone itself")
    check_equal(proxy.when_received(2)["totals"]["up"]["dropped"], {"not-allowed": 2})
    proxy.stop()


@test
def a_section_for_a_destination(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    staging = lab.server(port=7777)
    lab.server(port=5683)
    proxy = lab.proxy(f"[device staging]\ndestination = 192.0.2.0/24:5684\nupstream = {staging}\n"
                      "[device plain]\ndestination = 10.8.0.2\n")
    check_equal(lab.client("192.0.2.9", 5684).ask(b"to nobody's address"), b"to nobody's address")
    check_equal(lab.client(lab.CLOUD, 5683).ask(b"plain"), b"plain")
    summary = proxy.stop()
    check_equal([(s["section"], s["cloud"]) for s in summary["sessions"]], [("staging", str(staging)), ("plain", f"{lab.CLOUD}:5683")])


@test
def a_simulation_finds_the_same_sessions_and_the_same_luck(scene):
    lab = Lab(scene)
    redirect_by_hand(lab)
    lab.server(port=5684)
    lab.server(port=5683)
    proxy = lab.proxy("[link default]\nlatency = 1ms\njitter = 1ms\nloss = 30%\n[device a]\ndestination = 10.8.0.2:5683\n")
    device = lab.client()
    for i in range(60):
        device.udp.connect((lab.CLOUD, 5684 if i % 3 else 5683))
        device.send(b"x%02d" % i)
    proxy.when_received(60)
    proxy.summary_when(lambda s: s["totals"]["down"]["received"] >= s["totals"]["up"]["sent"] and not s["totals"]["up"]["queued"] + s["totals"]["down"]["queued"])
    run = proxy.stop()
    again = scene.path("again.json")
    done = deadzone("simulate", "-c", proxy.ini, "-r", proxy.capture, "--json", again)
    check_equal(done.returncode, 0, done.stderr)
    simulated = read_json(again)
    for one, other in zip(run["sessions"], simulated["sessions"], strict=True):
        check_equal([one[key] for key in ("section", "cloud")], [other[key] for key in ("section", "cloud")])
        for way in ("up", "down"):
            check_equal(one[way]["dropped"], other[way]["dropped"], f"{one['cloud']} {way}")
    check_equal(read_capture(proxy.capture) != [], True)


@test
def the_kernel_hands_over_what_gateway_names(scene):
    lab = Lab(scene)
    lab.nft("table inet users {\n chain own {\n type filter hook forward priority 0; policy accept;\n }\n}")
    before, before_ip = lab.rules(), lab.ip_rules()
    clouds = [lab.server(port=5684), lab.server(lab.CLOUD6, 5684)]
    other = lab.server(port=5700)
    proxy = lab.proxy("[gateway]\ninterface = wlan0\nports = 5684\n", listen="127.0.0.1:0, [::]:0")
    check_equal(lab.client().ask(b"one"), b"one")
    check_equal(lab.client(lab.CLOUD6).ask(b"x" * 4000), b"x" * 4000)
    check_equal(lab.client(port=5700).ask(b"passes"), b"passes")
    check_equal([cloud.received[0][1][0] for cloud in (*clouds, other)], [lab.UPLINK, lab.UPLINK6, lab.DEVICE])
    check("deadzone-100" in lab.rules(), "the run has a table of its own")
    summary = proxy.stop()
    check_equal(summary["gateway"], {"wlan0": {"intercepted": 2, "udp": 1, "tcp": 0}})
    check_equal([lab.rules(), lab.ip_rules()], [before, before_ip], "the rule set is as before")


GATEWAY = "[gateway]\ninterface = wlan0\n"


@test
def a_kill_leaves_traffic_flowing_and_nothing_behind(scene):
    lab = Lab(scene)
    lab.masquerade()
    before, before_ip = lab.rules(), lab.ip_rules()
    cloud = lab.server()
    proxy = lab.proxy(GATEWAY)
    device = lab.client()
    check_equal(device.ask(b"one"), b"one")
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    until(lambda: lab.rules() == before and lab.ip_rules() == before_ip, "the rule set to be as before")
    check_equal(device.ask(b"two"), b"two", "the same socket still works")
    check_equal([row[1][0] for row in cloud.received], [lab.UPLINK, lab.UPLINK], "masqueraded, not with the private address")


@test
def without_its_helper_the_run_ends(scene):
    lab = Lab(scene)
    before, before_ip = lab.rules(), lab.ip_rules()
    proxy = lab.proxy(GATEWAY)
    helper = int(pathlib.Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()[0])
    os.kill(helper, signal.SIGKILL)
    check_equal(proxy.wait(), 1)
    check("nothing is intercepted any more" in proxy.text, proxy.text)
    check_equal(lab.rules(), before, "the table is gone with the helper")
    proxy = lab.proxy(GATEWAY)
    proxy.stop()
    check_equal([lab.rules(), lab.ip_rules()], [before, before_ip], "the next run removes what was left behind")


@test
def a_stopped_helper_does_not_hold_the_run(scene):
    lab = Lab(scene)
    before, before_ip = lab.rules(), lab.ip_rules()
    proxy = lab.proxy(GATEWAY)
    helper = int(pathlib.Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()[0])
    os.kill(helper, signal.SIGSTOP)
    proxy.stop()
    check_equal([lab.rules(), lab.ip_rules()], [before, before_ip])


@test
def closed_standard_streams(scene):
    """The sockets of the run and its helper do not take their descriptors."""
    lab = Lab(scene)
    before = lab.rules()
    lab.server()
    ini = scene.path("closed.ini", f"[proxy]\nlisten = 127.0.0.1:15684\nupstream = original\n{GATEWAY}")
    for how in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        running = subprocess.Popen(["sh", "-c", f'exec "$0" run -c "$1" {how}', BINARY, ini],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **lab.gateway.inside)
        try:
            until(lambda: "deadzone-100" in lab.rules(), f"the table with {how}")
            check_equal(lab.client().ask(b"through"), b"through", how)
            running.terminate()
            check_equal(running.wait(60), 0, how)
        finally:
            running.kill()
            running.wait()
        check_equal(lab.rules(), before, how)


@test
def who_has_which_capability(scene):
    lab = Lab(scene)
    proxy = lab.proxy(GATEWAY)

    def effective(status):
        return int(re.search(r"CapEff:\s*(\w+)", pathlib.Path(status).read_text())[1], 16)

    helper = pathlib.Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()[0]
    check_equal(effective(f"/proc/{helper}/status"), 1 << 12, "the helper has only CAP_NET_ADMIN")
    for task in pathlib.Path(f"/proc/{proxy.pid}/task").iterdir():
        check(not effective(task / "status") >> 12 & 1, "no thread of the relay has it")
    sockets = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{helper}/fd").iterdir()]
    check(len(sockets) <= 6, f"the helper holds only what it needs: {sockets}")


@test
def two_deadzones_side_by_side(scene):
    lab = Lab(scene)
    before, before_ip = lab.rules(), lab.ip_rules()
    lab.device.run("ip", "addr", "add", "10.9.0.3/24", "dev", "eth0")
    lab.server()
    one = lab.proxy(GATEWAY + "address = 10.9.0.2\n", listen="127.0.0.1:0")
    two = lab.proxy(GATEWAY + "address = 10.9.0.3\n", listen="127.0.0.1:0")
    rules = lab.rules()
    check("deadzone-100" in rules and "deadzone-101" in rules, rules)
    check_equal(lab.client().ask(b"to one"), b"to one")
    with lab.device:
        device = scene.device((lab.CLOUD, 5684), host="10.9.0.3")
    check_equal(device.ask(b"to two"), b"to two")
    taken = lab.start("[proxy]\nlisten = 127.0.0.1:0\nupstream = original\n[gateway]\ninterface = wlan0\nmark = 0x65\n")
    check_equal(taken.wait(), 1)
    check("mark 0x65 is taken" in taken.text, taken.text)
    for proxy in (two, one):
        check_equal([s["device"].split(":")[0] for s in proxy.stop()["sessions"]], ["10.9.0.3" if proxy is two else "10.9.0.2"])
    check_equal([lab.rules(), lab.ip_rules()], [before, before_ip])


@test
def reload_follows_in_one_transaction(scene):
    lab = Lab(scene)
    servers = [lab.server(port=port) for port in (5684, 5685)]
    proxy = lab.proxy(GATEWAY)
    devices = [lab.client(port=port) for port in (5684, 5685)]
    for device in devices:
        device.ask(b"one")
    proxy.ini.write_text(proxy.ini.read_text().replace("wlan0", "wlan0\nports = 5685\nsource = device\nmark = 0x70"))
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok")
    for told in ("`source` keeps", "`mark` keeps"):
        proxy.told(told)
    for device in devices:
        device.ask(b"two")
    check_equal([server.received[1][1][0] for server in servers], [lab.DEVICE, lab.UPLINK])
    proxy.ini.write_text(proxy.ini.read_text().replace("interface = wlan0", "interface = wlan0, wlan9"))
    proxy.signal(signal.SIGHUP)
    proxy.told("note: gateway: there is no interface wlan9")
    proxy.ini.write_text(proxy.ini.read_text().replace("interface = wlan0", "interface = a/b"))
    proxy.signal(signal.SIGHUP)
    proxy.told("is not the name of an interface")
    check_equal(devices[1].ask(b"still"), b"still")
    check_equal(proxy.stop()["gateway"]["wlan0"]["intercepted"], 3)


@test
def each_missing_precondition_is_named(scene):
    lab = Lab(scene)
    gateway = lab.gateway
    before = lab.rules()
    lacking = deadzone("check", scene.path("lacking.ini", "[proxy]\nlisten = 127.0.0.1:0\nupstream = original\n[gateway]\n"))
    check("lacks `interface = …`" in lacking.stderr, lacking.stderr)

    def refused(told, more="", listen="127.0.0.1:15684", status=1, **options):
        options = {**gateway.inside, **options}
        proxy = scene.start(f"[proxy]\nlisten = {listen}\nupstream = original\n[gateway]\ninterface = wlan0\n{more}", **options)
        check_equal(proxy.wait(), status, proxy.text)
        check(told in proxy.text, f"{told!r} is not in: {proxy.text}")
        check_equal(lab.rules(), before, "nothing was changed")

    gateway.set("net.ipv4.ip_forward", 0)
    refused("sysctl -w net.ipv4.ip_forward=1")
    gateway.set("net.ipv4.ip_forward", 1)
    gateway.set("net.ipv6.conf.all.forwarding", 0)
    refused("sysctl -w net.ipv6.conf.all.forwarding=1", listen="[::]:15684")
    refused("there is no interface wlan7", "interface = wlan7\n")
    gateway.run("ip", "link", "add", "br0", "type", "bridge")
    gateway.run("ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")
    gateway.run("ip", "link", "set", "port0", "master", "br0")
    refused("port0 is a port of the bridge br0", "interface = port0\n")
    for name in ("iptables", "ip6tables"):
        gateway.set("net.bridge.bridge-nf-call-iptables", 0)
        gateway.set(f"net.bridge.bridge-nf-call-{name}", 1)
        refused(f"net.bridge.bridge-nf-call-{name}=0", "interface = br0\n")
    refused("CAP_NET_ADMIN is missing", prefix=("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"))
    refused("CAP_NET_RAW is missing", prefix=("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"))
    refused("CAP_NET_BIND_SERVICE", "ports = 53\n", prefix=("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"))
    refused("is too old", prefix=("setarch", "--uname-2.6"))


@test
def what_the_machine_does_to_it_is_noted(scene):
    lab = Lab(scene)
    lab.nft("""table inet filter {
 chain input {
  type filter hook input priority 0; policy drop;
 }
 chain forward {
  type filter hook forward priority 0; policy drop;
 }
 chain other {
  type filter hook prerouting priority mangle; policy accept;
  udp dport 9 tproxy ip to :9
 }
 chain uplink {
  type nat hook postrouting priority srcnat; oifname "eth0" masquerade
 }
}""")
    lab.gateway.set("net.ipv4.conf.wlan0.rp_filter", 1)
    proxy = lab.proxy(GATEWAY + "source = device\n")
    for told in ("nft insert rule inet filter input meta mark and 0x64 == 0x64 accept", "nft insert rule inet filter forward iifname wlan0 accept",
                 "redirects datagrams, too", "masquerades: with `source = device`", "nf_conntrack_udp_timeout_stream=7200", "rp_filter is strict on wlan0"):
        check(told in proxy.text, f"{told!r} is not in: {proxy.text}")
    proxy.stop()


@test
def no_answer_to_the_device_is_told_once(scene):
    lab = Lab(scene)
    lab.server(answer=None)
    proxy = lab.proxy(GATEWAY + "source = device\n")
    device = lab.client()
    device.send(b"one"), device.send(b"two")
    proxy.told("a session has had no answer for 5 s: with `source = device`")
    check_equal(proxy.text.count("no answer for 5 s"), 1)
    proxy.stop()


@test
def a_service_that_has_the_port(scene):
    lab = Lab(scene)
    with lab.gateway:
        service = scene.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        service.bind(("0.0.0.0", 5690))
        friendly = scene.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        friendly.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        friendly.bind(("0.0.0.0", 5684))
    lab.server(port=5684)
    lab.server(port=5690)
    proxy = lab.start("[proxy]\nlisten = 127.0.0.1:0\nupstream = original\n[gateway]\ninterface = wlan0\nports = 5690\n")
    check_equal(proxy.wait(), 1)
    check("a service of this machine has port 5690" in proxy.text, proxy.text)
    proxy = lab.proxy(GATEWAY + "ports = all\n")
    check_equal(lab.client().ask(b"beside a service"), b"beside a service")
    lab.client(port=5690).send(b"x")
    proxy.told("answers from port 5690 cannot be sent: a service of this machine has port 5690")
    proxy.when_received(2, "down")
    check_equal(proxy.stop()["sessions"][1]["down"]["dropped"], {"error": 1})


@test
def a_firewall_that_refuses_the_rest_is_noted(scene):
    """Like firewalld, it refuses without a policy; a rule that accepts another mark does not accept ours."""
    lab = Lab(scene)
    told = "nft insert rule inet firewall input meta mark and 0x64 == 0x64 accept"
    for rules, noted in (("ct state established accept\n  reject with icmpx admin-prohibited", True), ("counter drop", True), ("udp dport 9 drop", False),
                         ("meta mark and 0xff0000 == 0x40000 accept\n  drop", True), ("meta mark and 0x64 == 0x64 accept\n  drop", False)):
        lab.nft(f"table inet firewall\ndelete table inet firewall\ntable inet firewall {{\n chain input {{\n  type filter hook input priority 0; policy accept;\n  {rules}\n }}\n}}")
        proxy = lab.proxy(GATEWAY)
        check_equal(told in proxy.text, noted, f"{rules}: {proxy.text}")
        check_equal("connection tracking forgets" in proxy.text, "ct state" in rules, proxy.text)
        proxy.stop()


@test
def what_a_killed_run_leaves_is_removed(scene):
    lab = Lab(scene)
    before, before_ip = lab.rules(), lab.ip_rules()
    for keys, listen in (("mark = 0x70\n", "127.0.0.1:0, [::]:0"), ("", "[::]:0")):
        proxy = lab.proxy(GATEWAY + keys, listen=listen)
        for pid in (*pathlib.Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split(), proxy.pid):
            os.kill(int(pid), signal.SIGKILL)
        proxy.wait()
        check(lab.ip_rules() != before_ip, "something is left behind")
        until(lambda: lab.rules() == before, "the table to go")
    other = lab.proxy(GATEWAY + "address = 10.9.0.77\n")
    check_equal([line for line in lab.ip_rules() if "0x70" in line or "-6" in line], [], "the next start has removed it")
    lab.proxy(GATEWAY, listen="127.0.0.1:0").stop()
    check("fwmark 0x64/0x64" in "".join(lab.ip_rules()), "but not the rules of a run that goes on")
    other.stop()
    check_equal(lab.ip_rules(), before_ip)
    refused = deadzone("check", scene.path("mark.ini", "[proxy]\nlisten = 127.0.0.1:0\nupstream = original\n[gateway]\ninterface = wlan0\nmark = 254\n"))
    check("kernel's own routing tables" in refused.stderr, refused.stderr)


@test
def a_device_goes_on_after_a_kill_over_ipv6(scene):
    lab = Lab(scene)
    lab.masquerade()
    cloud = lab.server(lab.CLOUD6)
    proxy = lab.proxy(GATEWAY, listen="[::]:15684")
    device = lab.client(lab.CLOUD6)
    check_equal(device.ask(b"one"), b"one")
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    until(lambda: "deadzone" not in lab.rules(), "the table to go")
    check_equal(device.ask(b"two"), b"two")
    check_equal([row[1][0] for row in cloud.received], [lab.UPLINK6] * 2)


@test
def all_ports_but_those_of_dhcp(scene):
    lab = Lab(scene)
    with lab.gateway:
        scene.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("0.0.0.0", 68))
    lab.server(port=9), lab.server(port=67)
    proxy = lab.proxy(GATEWAY + "ports = all\n")
    check_equal([lab.client(port=9).ask(b"intercepted"), lab.client(port=67).ask(b"passes")], [b"intercepted", b"passes"])
    check_equal(proxy.stop()["gateway"]["wlan0"], {"intercepted": 1, "udp": 1, "tcp": 0})


@test
def a_hold_of_a_whole_device_darkens_too(scene):
    lab = Lab(scene)
    lab.server()
    proxy = lab.proxy(GATEWAY + "dark = all\n[rule zone]\nscope = device\nsize = 7\ndirection = up\nlimit = 1\ndo = blackout 2s hold\n")
    client, server = tcp_pair(lab)
    device = lab.client()
    device.send(b"trigger")
    until(lambda: dark(lab) == [lab.DEVICE], "the device to be dark")
    server.sendall(b"during")
    check_equal([device.receive()[0], client.recv(100), dark(lab)], [b"trigger", b"during", []])
    proxy.stop()


@test
def the_commands_that_it_stands_for(scene):
    lab = Lab(scene)
    ini = scene.path("print.ini", "[proxy]\nlisten = 127.0.0.1:15684, [::]:15684\nupstream = original\n"
                     "[gateway]\ninterface = wlan0\nports = 5684, 53, 5683-5690\nexclude = 10.0.0.0/8, 10.9.0.1, fd00::/8\ndestination = 192.0.2.5/24\n"
                     "address = 10.9.0.0/24\ndark = all\nsource = device\n")
    before = lab.rules()
    printed = deadzone("run", "-c", ini, "--print-gateway", **lab.gateway.inside)
    check_equal([printed.returncode, lab.rules()], [0, before], "it changes nothing")
    lab.gateway.run("sh", "-ec", printed.stdout)
    rules = lab.rules()
    for part in ("table inet deadzone-100", "udp dport != { 53, 5683-5690 }", "ip daddr 10.0.0.0/8 return", "tproxy ip6 to :15684", "ip daddr != 192.0.2.0/24 return"):
        check(part in rules, f"{part!r} is not in: {rules}")
    check_equal(deadzone("run", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--print-gateway").returncode, 2)


@test
def the_device_as_the_source(scene):
    lab = Lab(scene)
    cloud, cloud6, dns = lab.server(), lab.server(lab.CLOUD6), lab.server(lab.GATEWAY, 5684)
    proxy = lab.proxy(GATEWAY + "source = device\n", listen="127.0.0.1:0, [::]:0")
    device, device6, local = lab.client(), lab.client(lab.CLOUD6), lab.client(lab.GATEWAY)
    for one in (device, device6, local):
        check_equal(one.ask(b"x" * 2000), b"x" * 2000)
    check_equal(cloud.received[0][1], (lab.DEVICE, device.port))
    check_equal(cloud6.received[0][1][:2], (lab.DEVICE6, device6.port))
    check_equal(dns.received[0][1][0], lab.GATEWAY, "this machine's own services see its address")
    other = lab.server(port=5684 + 1)
    proxy.ini.write_text(proxy.ini.read_text() + "ports = 5684-5685\n")
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok")
    device.udp.connect((lab.CLOUD, 5685))
    check_equal(device.ask(b"another cloud, same port"), b"another cloud, same port")
    check_equal(other.received[0][1], (lab.DEVICE, device.port))
    proxy.stop()
    with lab.gateway:
        here = scene.cloud(lab.UPLINK, 7777)
    proxy = lab.proxy(GATEWAY + f"source = device\n[rule here]\nsize = 4\ndo = upstream {lab.UPLINK}:7777\n[rule back]\nsize = 5\ndo = upstream back\n")
    device = lab.client()
    check_equal([device.ask(one) for one in (b"1", b"here", b"there")], [b"1", b"here", b"there"], "moved to this machine and back")
    check_equal([here.received[-1][1][0], cloud.received[-1][1]], [lab.UPLINK, (lab.DEVICE, device.port)])
    proxy.stop()
    refused = deadzone("check", scene.path("refused.ini", "[proxy]\nlisten = 127.0.0.1:0\nupstream = original\nsource = 10.8.0.1\n[gateway]\n"
                       "interface = wlan0\nsource = device\n[device d]\nnat_timeout = 30s\n[rule r]\ndo = rebind\n"))
    check_equal(refused.returncode, 2)
    for line in ("[proxy] source:", "[device d] nat_timeout:", "[rule r] do: `rebind`"):
        check(line in refused.stderr, refused.stderr)


def dark(lab, way="up", family=4):
    """Returns the addresses in the table's set of dark devices."""
    return re.findall(r"elements = \{ (.*?) \}", lab.gateway.run("nft", "list", "set", "inet", "deadzone-100", f"dark-{way}{family}"), re.S)


def tcp_pair(lab):
    """Returns both ends of a TCP connection from the device to the cloud's host."""
    with lab.cloud:
        listener = lab.scene.keep(socket.create_server((lab.CLOUD, 8080)))
    with lab.device:
        client = lab.scene.keep(socket.create_connection((lab.CLOUD, 8080), timeout=60))
    return client, lab.scene.keep(listener.accept()[0])


@test
def a_dead_zone_kills_all_that_a_device_does(scene):
    lab = Lab(scene)
    lab.device.run("ip", "addr", "add", "10.9.0.3/24", "dev", "eth0")
    lab.server(), lab.server(port=53), lab.server(lab.GATEWAY, 53)
    proxy = lab.proxy(GATEWAY + "ports = 5684, 53\ndark = all\n[rule zone]\nscope = device\nsize = 7\ndirection = up\nlimit = 1\ndo = blackout 2s\n")
    client, server = tcp_pair(lab)
    cloud, dns, near = lab.client(), lab.client(port=53), lab.client(lab.GATEWAY, 53)
    with lab.device:
        other = scene.device((lab.CLOUD, 5684), host="10.9.0.3")
    for device in (cloud, dns, near, other):
        device.ask(b"before")
    server.sendall(b"before")
    check_equal(client.recv(100), b"before")
    cloud.send(b"trigger")
    until(lambda: dark(lab) == [lab.DEVICE] and dark(lab, "down") == [lab.DEVICE], "the device to be dark")
    server.sendall(b"during")
    dns.send(b"dark?"), near.send(b"dark?")
    check_equal(other.ask(b"another device"), b"another device")
    check_equal(client.recv(100), b"during")
    check_equal(dark(lab), [], "the TCP data came after the blackout")
    for device in (dns, near, cloud):
        check_equal(device.ask(b"after"), b"after")
    summary = proxy.stop()
    by_cloud = {(s["device"].split(":")[0], s["cloud"]): s["up"]["dropped"] for s in summary["sessions"]}
    check_equal(by_cloud, {(lab.DEVICE, f"{lab.CLOUD}:5684"): {"blackout": 1}, (lab.DEVICE, f"{lab.CLOUD}:53"): {"blackout": 1},
                           (lab.DEVICE, f"{lab.GATEWAY}:53"): {"blackout": 1}, ("10.9.0.3", f"{lab.CLOUD}:5684"): {}})
    check("gateway wlan0" in proxy.text, proxy.text)


@test
def live_blackouts_darken_and_end(scene):
    lab = Lab(scene)
    lab.server(), lab.server(lab.CLOUD6)
    control = scene.path("control")
    proxy = lab.proxy(GATEWAY + f"dark = all\n[control]\nlisten = unix:{control}\n", listen="127.0.0.1:0, [::]:0", ready=2)
    client, server = tcp_pair(lab)
    lab.client().ask(b"one"), lab.client(lab.CLOUD6).ask(b"six")

    def tell(*words):
        done = deadzone("tell", "--to", f"unix:{control}", *words)
        check_equal(done.returncode, 0, done.stderr)

    tell("do", "blackout 60s", "--session", "1")
    server.sendall(b"one session is not the device")
    check(client.recv(100), "the data arrives")
    check_equal(dark(lab), [])
    tell("do", "blackout 60s down")
    until(lambda: dark(lab, "down") == [lab.DEVICE] and dark(lab, "down", 6) == [lab.DEVICE6], "both to be dark")
    check_equal(dark(lab), [], "the way up is not dark")
    server.sendall(b"waits")
    tell("do", "blackout 0")
    until(lambda: not dark(lab, "down") and not dark(lab, "down", 6), "the blackout to end")
    check_equal(client.recv(100), b"waits")
    tell("do", "blackout 60s", "--identity", lab.DEVICE)
    until(lambda: dark(lab) == [lab.DEVICE], "the device to be dark")
    check_equal(dark(lab, "up", 6), [], "its IPv6 address counts as another device")
    proxy.ini.write_text(proxy.ini.read_text().replace("dark = all", "dark = udp"))
    proxy.signal(signal.SIGHUP)
    proxy.told("reload ok")
    server.sendall(b"passes again")
    check_equal(client.recv(100), b"passes again")
    proxy.stop()


# ---- Commands for the gateway ----


@test
def doctor_says_what_is_wrong(scene):
    lab = Lab(scene)
    with lab.gateway:
        scene.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", 15684))
    folder = scene.path("captures")
    ini = scene.path("doctor.ini", f"[proxy]\nlisten = 127.0.0.1:15684, 127.0.0.1:0\nupstream = original\n[capture]\nfile = {folder}/x.pcapng\n"
                     "[gateway]\ninterface = wlan0\nports = all\ndark = all\nsource = device\n")
    lab.gateway.set("net.ipv4.ip_forward", 0)
    before = lab.rules()
    found = deadzone("doctor", "-c", ini, **lab.gateway.inside)
    check_equal([found.returncode, lab.rules()], [1, before])
    for told in ("WRONG  ports         `127.0.0.1:15684` cannot be listened on: Address already in use: `ss -ulpn`",
                 "ok     ports         127.0.0.1:0", "WRONG  forwarding    net.ipv4.ip_forward is off", "ok     interface     wlan0 is there",
                 "ok     nftables      the kernel accepts the table (tried, not made)", f"WRONG  disk          {folder}: No such file", "ok     clock"):
        check(told in found.stdout, f"{told!r} is not in:\n{found.stdout}")
    folder.mkdir()
    lab.gateway.set("net.ipv4.ip_forward", 1)
    ini.write_text(ini.read_text().replace("127.0.0.1:15684, ", ""))
    found = deadzone("doctor", "-c", ini, **lab.gateway.inside)
    check_equal(found.returncode, 0, found.stdout)
    check_equal(deadzone("doctor").returncode, 0)
    ini.write_text("[proxy]\nlisten = x\n")
    check_equal(deadzone("doctor", "-c", ini).returncode, 2)


@test
def an_access_point_and_back(scene):
    need_programs("dnsmasq", "hostapd")
    lab = Lab(scene)
    gateway, name = lab.gateway, f"dz{os.getpid() % 1000000}"  # /run is shared with the namespaces of other tests
    gateway.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth9", "netns", lab.device.path)
    gateway.set("net.ipv4.ip_forward", 0)
    words = ("gateway-setup", "--interface", name, "--uplink", "eth0", "--network", "10.84.3.1/24")
    state = pathlib.Path(f"/run/deadzone-gateway-{name}")

    def everything():
        return [lab.rules(), gateway.run("ip", "-4", "-o", "address", "show", "dev", name) + gateway.run("ip", "-br", "link", "show", "up", "dev", name)[:2], gateway.run("cat", "/proc/sys/net/ipv4/ip_forward")]

    before = everything()
    printed = deadzone(*words, **gateway.inside)
    check_equal([printed.returncode, everything(), state.exists()], [0, before, False], "printing changes nothing")
    check_equal(run("sh", "-n", "-c", printed.stdout).returncode, 0)
    try:
        done = deadzone(*words, "--apply", **gateway.inside)
        check_equal(done.returncode, 0, done.stderr)
        check("10.84.3.1/24" in everything()[1] and everything()[2] == "1\n", everything())
        check(f'ip saddr 10.84.3.0/24 oifname "eth0" masquerade' in lab.rules(), lab.rules())
        check_equal(run("dnsmasq", "--test", f"--conf-file={state}/dnsmasq.conf").returncode, 0)
        again = deadzone(*words, "--apply", **gateway.inside)
        check_equal(again.returncode, 1)
        check("is set up already" in again.stderr, again.stderr)
        lab.device.run("ip", "address", "add", "10.84.3.7/24", "dev", "eth9")
        lab.device.run("ip", "link", "set", "eth9", "up")
        with lab.device:
            client = scene.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            client.bind(("10.84.3.7", 0))
        client.settimeout(1)

        def answered():  # dnsmasq refuses names, since it has no server: that is an answer, too
            client.sendto(bytes.fromhex("1234010000010000000000000474657374000001 0001"), ("10.84.3.1", 53))
            with contextlib.suppress(OSError):
                return client.recv(512)
            return None

        check(until(answered, "dnsmasq's answer").startswith(b"\x12\x34"), "the answer is to our query")
    finally:
        undone = deadzone(*words[:3], "--undo", **gateway.inside)
    check_equal([undone.returncode, everything(), state.exists()], [0, before, False], undone.stderr)
    check_equal(deadzone(*words[:3], "--undo", **gateway.inside).returncode, 1)


@test
def the_wi_fi_part_is_what_hostapd_takes(scene):
    need_programs("hostapd")
    printed = deadzone("gateway-setup", "-i", "wlan0", "--ssid", "a lab", "--country", "DE", "--channel", "36").stdout
    written = re.search(r"hostapd.conf\" <<'END'\n(.*?)\nEND\n", printed, re.S)[1]
    check("ssid=a lab" in written and "hw_mode=a" in written and re.search(r"wpa_passphrase=[a-z2-9]{12}$", written), written)
    told = run("hostapd", scene.path("hostapd.conf", written.replace("interface=wlan0", "interface=no-radio")))
    check("Failed to initialize driver" in told.stdout and "Line " not in told.stdout and "errors found" not in told.stdout, told.stdout)
    for wrong, word in ((("--channel", "0"), "channel"), (("--country", "germany"), "country"), (("--network", "10.0.0.0/33"), "prefix"),
                        (("--ssid", "x" * 33), "SSID"), (("--ssid", "x", "--passphrase", "short"), "passphrase"), (("--ssid", "a\nb"), "printable")):
        refused = deadzone("gateway-setup", "--interface", "wlan0", *wrong)
        check_equal(refused.returncode, 2)
        check(word in refused.stderr, refused.stderr)
    check_equal(deadzone("gateway-setup").returncode, 2)


# ---- Real peers ----


def real_server(lab, host):
    """Starts libcoap's server on the cloud's host, on the ports that devices have built in; returns it and its URI."""
    address = f"[{host}]" if ":" in host else host
    server = lab.scene.program("coap-server-openssl", "-A", host, "-p", 5683, "-k", dtls.KEY, "-h", "hint", "-d", "10", **lab.cloud.inside)

    def answers():
        return lab.cloud.try_run("coap-client-openssl", "-B", "1", "-m", "get", f"coap://{address}/").stdout.strip()

    until(answers, "coap-server")
    return server, f"coaps://{address}/firmware"


def download(lab, uri, path):
    """PUTs and GETs the file from a device whose server address is fixed."""
    words = ("coap-client-openssl", "-k", dtls.KEY, "-u", dtls.IDENTITY, "-B", "60", "-b", "1024")
    back = lab.scene.path(f"back{len(uri)}.bin")
    back.unlink(missing_ok=True)
    said = [lab.device.try_run(*words, "-m", "put", "-f", path, uri, patience=90), lab.device.try_run(*words, "-m", "get", "-o", back, uri, patience=90)]
    check(back.exists() and back.read_bytes() == path.read_bytes(), f"{uri}: {[s.stderr[-300:] for s in said]}")


@test
def real_devices_download_byte_for_byte(scene):
    dtls.need("coap-server-openssl", "coap-client-openssl")
    for source in ("gateway", "device"):
        lab = Lab(scene)
        if source == "gateway":
            lab.masquerade()
        servers = [real_server(lab, host) for host in (lab.CLOUD, lab.CLOUD6)]
        path = scene.path("there.bin")
        path.write_bytes(random.Random(7).randbytes(20 << 10))
        proxy = lab.proxy(GATEWAY + f"source = {source}\n[link default]\nlatency = 2ms\njitter = 1ms\n", listen="127.0.0.1:0, [::]:0")
        for _, uri in servers:
            download(lab, uri, path)
        summary = proxy.stop()
        check_equal([(s["cloud"], s["handshakes"]) for s in summary["sessions"]], [(f"{lab.CLOUD}:5684", 1)] * 2 + [(f"[{lab.CLOUD6}]:5684", 1)] * 2)
        rows = set(tshark(proxy.capture, "-Y", "dtls", "-T", "fields", "-e", "ip.src", "-e", "ip.dst").splitlines())
        ours = lab.UPLINK if source == "gateway" else lab.DEVICE
        check({f"{lab.DEVICE}\t{lab.CLOUD}", f"{ours}\t{lab.CLOUD}", f"{lab.CLOUD}\t{ours}", f"{lab.CLOUD}\t{lab.DEVICE}"} <= rows, rows)


@test
def real_names_and_datagrams_go_dark_together(scene):
    """One device uses dnsmasq on the gateway and behind it, port 5684, and a TCP download."""
    need_programs("dnsmasq")
    dtls.need("openssl")
    lab = Lab(scene)
    for host, at in ((lab.gateway, lab.GATEWAY), (lab.cloud, lab.CLOUD)):
        folder = scene.path(f"dns{at}")
        folder.mkdir()
        scene.program("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={at}",
                      f"--address=/cloud.example/{at}", f"--pid-file={folder}/pid", "--user=root", **host.inside)
    proxy = lab.proxy(GATEWAY + "ports = 53, 5684\ndark = all\n[rule zone]\nscope = device\nbytes = 0:64617267\nlimit = 1\ndo = blackout 3s\n")
    query = bytes.fromhex("1234010000010000000000000563 6c6f756407 6578616d706c6500 00010001")
    names = [lab.client(at, 53) for at in (lab.GATEWAY, lab.CLOUD)]

    def resolved(device):
        device.pending()
        device.send(query)
        with contextlib.suppress(Failure):
            return device.receive(1)[0]
        return None

    for device, at in zip(names, (lab.GATEWAY, lab.CLOUD), strict=True):
        check(until(lambda d=device: resolved(d), "dnsmasq").endswith(socket.inet_aton(at)), f"answer of {at}")
    client, server = tcp_pair(lab)
    server.sendall(b"x" * 1000)
    check_equal(client.recv(2000), b"x" * 1000)
    lab.server()
    lab.client().send(b"darg")
    until(lambda: dark(lab) == [lab.DEVICE], "the device to be dark")
    server.sendall(b"y" * 1000)
    for device in names:
        device.send(query)
    check_equal(client.recv(2000)[:1], b"y")
    check_equal(dark(lab), [], "the download stalled until the blackout ended")
    for device in names:
        check(until(lambda d=device: resolved(d), "dnsmasq again"), "names are resolved again")
    summary = proxy.stop()
    dropped = {s["cloud"]: s["up"]["dropped"].get("blackout") for s in summary["sessions"]}
    check_equal([dropped[f"{at}:53"] for at in (lab.GATEWAY, lab.CLOUD)], [1, 1])


@test
def a_thousand_destinations(scene):
    lab = Lab(scene)
    lab.cloud.run("ip", "route", "add", "local", "10.77.0.0/16", "dev", "lo")
    lab.gateway.run("ip", "route", "add", "10.77.0.0/16", "via", lab.CLOUD)
    with lab.cloud:
        scene.cloud("0.0.0.0", 5684, answer=None)
    before = sockets_of(lab)
    proxy = lab.proxy(GATEWAY, keys="idle_timeout = 60s")
    with lab.device:
        device = scene.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        device.bind((lab.DEVICE, 0))
    hosts = [f"10.77.{i // 250}.{i % 250 + 1}" for i in range(1000)]
    for at in range(0, 1000, 100):
        for host in hosts[at:at + 100]:
            device.sendto(host.encode(), (host, 5684))
        proxy.when_received(at + 100)
    summary = proxy.stop()
    check_equal(sorted(s["cloud"] for s in summary["sessions"]), sorted(f"{host}:5684" for host in hosts))
    check_equal(summary["gateway"]["wlan0"]["intercepted"], 1000)
    check_equal(sockets_of(lab), before, "all sockets are closed")


def sockets_of(lab):
    return len(lab.gateway.run("cat", "/proc/net/udp").splitlines())


if __name__ == "__main__":
    run_all()
