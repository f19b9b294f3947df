"""One gateway with everything around it: DNS, certificates, the peer's servers and a person of the gateway's.

A `Shape` says what is different between the set-ups; `Setup` starts and ends the processes. Everything is on loopback, on ports
that were free a moment ago, in a folder of its own.
"""

from __future__ import annotations

import pathlib
import random
import socket
import subprocess
import threading
from dataclasses import dataclass

from tests.peers.ssp_peer import transport
from tests.peers.ssp_peer.context import Context
from tests.peers.ssp_peer.discovery import Dns
from tests.peers.ssp_peer.node import Node
from tests.peers.ssp_peer.personality import STRICT
from tests.peers.ssp_peer.scenarios import DIALS_ROLE, SANDBOX_ROLE, STRICT_ROLE
from tests.peers.ssp_peer.subscriber import HttpSubscriber
from tests.peers.ssp_peer.transport import Tls

MAIN = "alpha.example"
SERVICE = "gateway.alpha.example"  # the gateway's name towards home servers
BRAVO, CHARLIE, DELTA, ECHO = "bravo.example", "charlie.example", "delta.example", "echo.example"
SILENT = "silent.example"  # has an agreement and no SRV record
# In the certificate of each: the gateway answers for its home servers' domains too.
NAMES = {MAIN: [MAIN, SERVICE, BRAVO, DELTA], BRAVO: [BRAVO, SILENT], CHARLIE: [CHARLIE], DELTA: [DELTA]}
# Where home servers meet partners through the gateway: the view's host stands in the domain. The second is the gateway's as a partner.
MET = {MAIN: [*NAMES[MAIN], *(f"ssp.{domain}" for domain in (MAIN, BRAVO, DELTA))], ECHO: [ECHO], f"met.{CHARLIE}": [CHARLIE, f"imps-gateway.{CHARLIE}"], f"met.{ECHO}": [ECHO, f"imps-gateway.{ECHO}"]}


@dataclass(frozen=True)
class Shape:
    """A set-up: the role of the peer that plays, and how it is reached."""

    role: str
    tls: bool = False
    profile: str = "observed"
    meets: bool = False  # home servers meet partners through the gateway, and can't be told of it
    plays: str | None = None  # the scenarios of another role than its own

    @property
    def scenarios(self) -> str:
        """The role whose scenarios are played."""
        return self.plays or self.role


SETUPS = {"partner": Shape("partner"), "tls": Shape("partner", tls=True), "home": Shape("home"), "home-tls": Shape("home", tls=True),
          "home-dials": Shape("home", meets=True, plays=DIALS_ROLE), "home-dials-tls": Shape("home", tls=True, meets=True, plays=DIALS_ROLE),
          "strict-tls": Shape("partner", tls=True, profile="strict", plays=STRICT_ROLE), "sandbox": Shape(SANDBOX_ROLE, tls=True)}


class Setup:
    """The processes and servers of one set-up."""

    def __init__(self, name: str, shape: Shape, binary: str, folder: pathlib.Path, log: str | None) -> None:
        self.shape, self.binary, self.folder, self.log = shape, binary, folder, log
        self.dns, self.view, self.ssp, self.subscribers, *self.ports = free_ports(8)
        self.processes: list[subprocess.Popen] = []
        self.nodes: list[Node] = []
        self.gateway: subprocess.Popen | None = None
        self.context: Context | None = None

    def start(self) -> None:
        """Brings everything up; the context is ready afterwards."""
        certificates = transport.certificates(str(self.folder), {**NAMES, **(MET if self.shape.meets else {})})
        if certificates is None:
            raise SystemExit("there is no openssl")
        zones = self.folder / "zones"
        zones.mkdir()
        for name, text in self._zones().items():
            (zones / f"{name}.zone").write_text(f"$ORIGIN {name}.\n$TTL 60\n@ IN SOA ns hostmaster ( 1 3600 600 604800 60 )\n  IN NS ns\nns IN A 127.0.0.1\n{text}")
        (self.folder / "alpha.toml").write_text(self._config())
        view = ["--gateway-view", f"127.0.0.1:{self.view}", "--config", str(self.folder / "alpha.toml")] if self.shape.meets else []
        self._spawn("zone", "serve", "--zones", str(zones), "--listen", f"127.0.0.1:{self.dns}", *view)
        for port in (self.dns, self.view) if view else (self.dns,):
            self._wait_for(port)
        self._start_gateway()
        self._start_nodes(certificates if self.shape.tls else {})

    def stop(self) -> None:
        """Ends what was started."""
        for node in self.nodes:
            node.close()
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()

    def restart(self) -> None:
        """Kills the gateway and starts it again on the same state."""
        self.gateway.kill()
        self.gateway.wait(timeout=20)
        self.processes.remove(self.gateway)
        self._start_gateway()

    def _start_gateway(self) -> None:
        with open(self.folder / "gateway.log", "ab") as log:
            self.gateway = self._spawn("serve", "--config", str(self.folder / "alpha.toml"), log=log)
        for port in (self.ssp, self.subscribers):
            self._wait_for(port)

    def _start_nodes(self, tls: dict[str, Tls]) -> None:
        scheme = "https" if tls else "http"
        url, is_home = f"{scheme}://127.0.0.1:{self.ssp}/", self.shape.role == "home"
        name = SERVICE if is_home and not self.shape.meets else MAIN
        crowd = {f"+4477009004{n}": f"Bea {n}" for n in range(60, 100)} if self.shape.scenarios == STRICT_ROLE else {}
        bravo = Node(BRAVO, {"+447700900456": "Bea", "+447700900457": "Ben", **crowd}, {name: url}, STRICT, self.ports[0], tls.get(BRAVO), self.log)
        self.nodes.append(bravo)
        ada = HttpSubscriber(f"http://127.0.0.1:{self.subscribers}", "+447700900123", "ada-at-alpha")
        ada.login()
        self.context = Context(bravo, ada, url, MAIN, self.shape.role, silent_domain=SILENT, restart=self.restart, al=self._al)
        if self.shape.meets:
            self._meet(bravo, url, tls)
        elif is_home:
            charlie = Node(CHARLIE, {"+447700900789": "Cay"}, {MAIN: url, BRAVO: url, DELTA: url}, STRICT, self.ports[1], tls.get(CHARLIE))
            delta = Node(DELTA, {"+447700900654": "Dee"}, {name: url}, STRICT, self.ports[2], tls.get(DELTA))
            for home in (bravo, delta):
                home.gateway = SERVICE
            self.nodes += [charlie, delta]
            self.context.gateway_service = SERVICE
            self.context.partner, self.context.second_home = charlie, delta
            self.context.third_user = charlie.home.address("+447700900789")

    def _meet(self, bravo: Node, url: str, tls: dict[str, Tls]) -> None:
        """Two home servers that know DNS and nothing else, and two partners that find the gateway under the home servers' domains."""
        homes = {MAIN: url, BRAVO: url, DELTA: url}
        charlie = Node(CHARLIE, {"+447700900789": "Cay"}, homes, STRICT, self.ports[1], tls.get(CHARLIE))
        echo = Node(ECHO, {"+447700900821": "Eve"}, homes, STRICT, self.ports[3], tls.get(ECHO))
        delta = Node(DELTA, {"+447700900654": "Dee"}, {}, STRICT, self.ports[2], tls.get(DELTA))
        for home in (bravo, delta):
            home.dns, home.peers = Dns(("127.0.0.1", self.view)), {CHARLIE: url}  # whom a search by number goes to
        delta.proves_host = True
        self.nodes += [charlie, delta, echo]
        self.context.partner, self.context.other_partner, self.context.second_home = charlie, echo, delta
        self.context.third_user = charlie.home.address("+447700900789")

    def _al(self) -> HttpSubscriber:
        al = HttpSubscriber(f"http://127.0.0.1:{self.subscribers}", "+447700900124", "al-at-alpha")
        al.login()
        return al

    def _zones(self) -> dict[str, str]:
        server = "_imps-server._tcp IN SRV 10 0 {} ssp\nssp IN A 127.0.0.1\n".format
        numbers = '*.{0}.0.0.9.0.0.7.7.4.4 IN NAPTR 100 10 "u" "E2U+im" "!^(.*)$!im:\\\\1@{1}!" .\n                      IN NAPTR 100 10 "u" "E2U+pres" "!^(.*)$!pres:\\\\1@{1}!" .\n'.format
        # The numbers 9xx are of the peer's, and nobody has them.
        zones = {BRAVO: server(self.ports[0]), SILENT: "", "e164enum.net": numbers(4, BRAVO) + numbers(9, BRAVO)}
        if self.shape.role == "home":
            # The world finds the gateway in place of the home servers.
            zones[BRAVO] = zones[DELTA] = server(self.ssp)
            zones[CHARLIE] = server(self.ports[1])
            zones["e164enum.net"] += numbers(7, CHARLIE) + numbers(6, DELTA)
            if self.shape.meets:
                zones[ECHO] = server(self.ports[3])
                zones["e164enum.net"] += numbers(8, ECHO)
            zones[MAIN] = server(self.ssp) + f"_imps-server._tcp.gateway IN SRV 10 0 {self.ssp} ssp\n"
        return zones

    def _config(self) -> str:
        home = self.shape.role == "home"
        text = CONFIG.format(folder=self.folder, dns=self.dns, subscribers=self.subscribers,
                             listen=f'{"listen" if self.shape.tls else "listen_plain"} = "127.0.0.1:{self.ssp}"',
                             domains=f'"{MAIN}"' + (f', "{BRAVO}", "{DELTA}"' if home else ""))
        tls = "{ required = true, mutual = true }" if self.shape.tls else "{ required = false, mutual = false }"
        role = 'role = "home"\n' + ('presents = "partner-domains"\n' if self.shape.meets else "") + 'servers = ["127.0.0.1:{}"]'
        agreements = [("silent", SILENT, "strict", ""), ("bravo", BRAVO, self.shape.profile, role.format(self.ports[0]) if home else "")]
        if home:
            agreements += [("charlie", CHARLIE, "strict", ""), ("delta", DELTA, "strict", role.format(self.ports[2]))]
        if self.shape.meets:
            agreements.append(("echo", ECHO, "strict", ""))
            # A search by number from a partner without transit finds people of ours without ENUM.
            text = text.replace("[relay]", f'home_ranges = [{{ prefix = "+4477009004", domain = "{BRAVO}" }}]\n\n[relay]')
            text += "".join(IDENTITY.format(folder=self.folder, domain=domain) for domain in (CHARLIE, ECHO))
        for peer, domain, profile, more in agreements:
            text += AGREEMENT.format(peer=peer, domain=domain, profile=profile, more=more, tls=tls)
        return text

    def _spawn(self, *arguments: str, log=subprocess.DEVNULL) -> subprocess.Popen:
        process = subprocess.Popen([self.binary, *arguments], stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def _wait_for(self, port: int) -> None:
        for _ in range(600):
            if any(process.poll() is not None for process in self.processes):
                log = self.folder / "gateway.log"
                raise SystemExit("a process ended before it listened\n" + (log.read_text()[-3000:] if log.exists() else ""))
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                threading.Event().wait(0.05)  # nothing tells that another process listens
        raise SystemExit(f"nobody listens on port {port}")


def free_ports(count: int) -> list[int]:
    """Ports that are free now, for TCP and UDP, below those from which the system takes the ports of connections: one of another
    set-up could take it before our process listens."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(12_000, 32_000)
        if port not in ports and is_free(port):
            ports.append(port)
    return ports


def is_free(port: int) -> bool:
    """Whether nobody has this port."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


CONFIG = """
[gateway]
node = "alpha"
domains = [{domains}]
data_dir = "{folder}/data"

[ssp]
{listen}
certificate = "{folder}/alpha.example.pem"
key = "{folder}/alpha.example.key"
authorities = "{folder}/ca.pem"

[routing]
views = [{{ name = "lab", resolvers = ["127.0.0.1:{dns}"] }}]
apexes = [{{ apex = "e164enum.net", view = "lab", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}

[relay]
first_retry = "1s"
longest_retry = "3s"

[home]
listen = "127.0.0.1:{subscribers}"
public_attributes = ["OnlineStatus", "UserAvailability", "StatusText", "StatusMood"]
limits = {{ requests_per_minute = 60000, devices = 50, connections = 50 }}

[[home.domain]]
name = "alpha.example"

[[home.account]]
number = "+447700900123"
user = "ada"
domain = "alpha.example"
friendly_name = "Ada"
password = "ada-at-alpha"

[[home.account]]
number = "+447700900124"
user = "al"
domain = "alpha.example"
friendly_name = "Al"
password = "al-at-alpha"
"""

IDENTITY = """
[[ssp.identities]]
certificate = "{folder}/met.{domain}.pem"
key = "{folder}/met.{domain}.key"
"""

AGREEMENT = """
[[agreement]]
peer = "{peer}"
domains = ["{domain}"]
profile = "{profile}"
{more}
msisdn_form = "with-domain"
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
allowed_networks = ["127.0.0.0/8"]
tls = {tls}
limits = {{ requests_per_second = 2000, burst = 4000, sender_per_minute = 10000 }}
"""
