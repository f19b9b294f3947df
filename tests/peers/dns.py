#!/usr/bin/env python3
"""DNS against software that shares no code with the gateway: Knot, Unbound and dig.

The bundled zones are served by Knot and by `impsgw zone serve`; both are asked the same questions by dig and must say the
same. Then `impsgw route` resolves the same numbers at Knot, at Unbound in front of Knot, and at Unbound in front of the
gateway's own server, and must decide the same each time. Everything is on loopback and ends within a minute; what was
started is ended by process ID. A program that is missing and can't be installed: exit code 77, said loudly.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from tests.peers.setup import free_ports  # noqa: E402

SYSTEM = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
PACKAGES = {"knotd": "knot", "kdig": "knot-dnsutils", "unbound": "unbound", "dig": "bind9-dnsutils"}
TYPES = ["NAPTR", "SRV", "A", "AAAA", "SOA", "NS", "CNAME", "TXT", "MX", "DS", "TYPE65280"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=str(TOP / "target/release/impsgw"))
    parser.add_argument("--zones", default=str(TOP / "zones"))
    arguments = parser.parse_args()
    if not pathlib.Path(arguments.binary).is_file():
        parser.error(f"{arguments.binary} is not there: cargo build --release, or name another with --binary")
    missing = [name for name, package in PACKAGES.items() if not have(name, package)]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} is not here and can't be installed; the DNS peers were not tried")
        return 77
    with tempfile.TemporaryDirectory(prefix="impsgw-dns-") as folder:
        with Peers(pathlib.Path(folder), arguments.binary, pathlib.Path(arguments.zones)) as peers:
            failures = []
            for stage in (same_answers, transports, same_routes, changed_while_running):
                began = time.monotonic()
                found = stage(peers)
                print(f"{'FAILED' if found else 'passed'}: {stage.__name__} in {time.monotonic() - began:.1f} s")
                for line in found[:20]:
                    print(f"    {line}")
                failures += found
    print(f"dns peers: {len(failures)} failures")
    return 1 if failures else 0


class Peers:
    """The name servers, all on loopback, each with its port."""

    def __init__(self, folder: pathlib.Path, binary: str, zones: pathlib.Path) -> None:
        self.folder, self.binary = folder, binary
        self.zones = folder / "zones"
        shutil.copytree(zones, self.zones)
        # Rules that a bundled zone has no case of.
        (self.zones / "wild.example.zone").write_text(WILD)
        (self.zones / "wild.e164enum.net.zone").write_text(WILD_NUMBERS)
        self.knot, self.own, self.over_knot, self.over_own = free_ports(4)
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Peers":
        try:
            self.start("own", self.binary, "zone", "serve", "--zones", str(self.zones), "--listen", f"127.0.0.1:{self.own}")
            self.origins = origins = [path.name.removesuffix(".zone") for path in sorted(self.zones.glob("*.zone"))]
            storage = self.folder / "knot"
            storage.mkdir()
            lines = [f"server:\n  rundir: {storage}\n  listen: 127.0.0.1@{self.knot}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1",
                     f"log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {storage}\nzone:"]
            lines += [f"  - domain: {origin}\n    file: {self.zones}/{origin}.zone\n    storage: {storage}\n    zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none"
                      for origin in origins]
            (self.folder / "knot.conf").write_text("\n".join(lines) + "\n")
            self.start("knot", "knotd", "-c", str(self.folder / "knot.conf"))
            for port, upstream in ((self.over_knot, self.knot), (self.over_own, self.own)):
                config = self.folder / f"unbound-{port}.conf"
                config.write_text(UNBOUND.format(folder=self.folder, port=port) + "".join(
                    f'stub-zone:\n  name: "{origin}"\n  stub-addr: 127.0.0.1@{upstream}\n' for origin in origins))
                self.start(f"unbound-{port}", "unbound", "-d", "-p", "-c", str(config))
            for port in (self.own, self.knot, self.over_knot, self.over_own):
                self.wait(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            environment = os.environ | {"PATH": SYSTEM}
            self.started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment))

    def wait(self, port: int) -> None:
        """Until every zone is served: Knot loads one after the other and says SERVFAIL to what it has not come to."""
        missing = list(self.origins)
        for _ in range(200):
            if any(process.poll() is not None for process in self.started):
                break
            missing = [origin for origin in missing if not dig(port, "+time=1", "+tries=1", "+short", f"{origin}.", "SOA").strip()]
            if not missing:
                return
            time.sleep(0.05)
        logs = "\n".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))
        raise SystemExit(f"no name server on port {port} for {missing}\n{logs[-4000:]}")

    def route(self, port: int, address: str, service: str) -> dict[str, object]:
        config = self.folder / f"route-{port}.toml"
        if not config.exists():
            config.write_text(CONFIG.format(folder=self.folder, port=port))
        done = subprocess.run([self.binary, "route", "--offline", "--json", "--config", str(config), "--service", service, address],
                              capture_output=True, text=True, timeout=20, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise SystemExit(f"impsgw route {address}: {done.stdout}{done.stderr}") from None


def same_answers(peers: Peers) -> list[str]:
    """Knot and our server say the same to every question about every name, and about names that are not there."""
    questions = [(name, rtype) for name in names(peers.zones) for rtype in TYPES]
    ours, theirs = (answers(peers.folder, port, questions) for port in (peers.own, peers.knot))
    print(f"{len(questions)} questions, {sum(1 for one in theirs.values() if one.answer)} with records")
    # dig refuses to read expressions that are no expressions; those numbers are in `same_routes`.
    failures = [f"{len(questions)} questions, Knot answered {len(theirs)}"] if len(theirs) < len(questions) - UNREADABLE else []
    for question in sorted(ours.keys() | theirs.keys()):
        if within_a_zone(ours.get(question), peers.origins) != within_a_zone(theirs.get(question), peers.origins):
            failures.append(f"{question}: ours {ours.get(question)}, Knot {theirs.get(question)}")
    return failures


def transports(peers: Peers) -> list[str]:
    """Sizes, truncation, transfers, and questions of other classes and kinds, over UDP and TCP."""
    large, small = f"0.3.{NUMBERS}", "_imps-server._tcp.beta.example."
    expected = [
        (("+noedns", "+ignore", "+norec", large, "NAPTR"), "NOERROR", "tc", None),
        (("+bufsize=512", "+ignore", "+norec", large, "NAPTR"), "NOERROR", "tc", None),
        (("+bufsize=4096", "+ignore", "+norec", large, "NAPTR"), "NOERROR", "", 8),
        (("+noedns", "+norec", large, "NAPTR"), "NOERROR", "", 8),
        (("+tcp", "+norec", large, "NAPTR"), "NOERROR", "", 8),
        (("+norec", "-c", "CH", "version.bind", "TXT"), "REFUSED", "", 0),
        (("+norec", "nobody.example.org.", "A"), "REFUSED", "", 0),
        (("+norec", "+edns=1", "+noednsneg", small, "SRV"), "BADVERS", "", 0),
        (("+norec", "+opcode=NOTIFY", small, "SOA"), "NOTIMP", "", 0),
        (("+norec", "+opcode=UPDATE", small, "SOA"), "NOTIMP", "", 0),
        (("+norec", "+tcp", small, "ANY"), "NOERROR", "", 1),
        (("+norec", small.upper(), "SRV"), "NOERROR", "", 1),
    ]
    failures = []
    for arguments, status, flag, count in expected:
        text = dig(peers.own, *arguments)
        found = parse(text)
        if not found:
            failures.append(f"{' '.join(arguments)}: no answer: {text[-300:]}")
            continue
        one = found[-1]
        right = one.status == status and ("tc" in one.flags.split()) == (flag == "tc") and (count is None or len(one.answer) == count)
        if not right:
            failures.append(f"{' '.join(arguments)}: {one}")
    transfer = dig(peers.own, "beta.example.", "AXFR")
    if "Transfer failed" not in transfer:
        failures.append(f"AXFR is not refused: {transfer[-300:]}")
    kdig = subprocess.run(["kdig", "@127.0.0.1", "-p", str(peers.own), "+tcp", "+keepopen", "+short", small, "SRV", "-q", f"2.1.{NUMBERS}", "-t", "NAPTR"],
                          capture_output=True, text=True, timeout=10, check=False)
    if "ssp.beta.example." not in kdig.stdout or "e2u+IM" not in kdig.stdout:
        failures.append(f"kdig with two questions on one connection: {kdig.stdout}{kdig.stderr}")
    return failures


def same_routes(peers: Peers) -> list[str]:
    """Whoever serves the zones and whatever stands before him, a number leads to the same place."""
    failures = []
    # The tables of zones/README.md say what must come out; the rest is about the other zones.
    page = (TOP / "zones/README.md").read_text()
    robots, wrong = page.split("\n## Numbers that go wrong on purpose\n")
    table = re.findall(r"^\| (\+\d+) \|.*\| (none|im:\S+) \|", wrong, re.MULTILINE)
    expected = {(number, "im"): None if uri == "none" else f"wv:{uri.removeprefix('im:')}" for number, uri in table}
    leading = re.findall(r"^\| (\+\d+) \| [^|]+ \| (\w+\.example) \|", robots, re.MULTILINE)
    expected |= {(number, service): f"wv:{number}@{domain}" for number, domain in leading for service in ("im", "pres")}
    expected |= {(f"+44770090012{last}", service): f"wv:+44770090012{last}@alpha.example" for last in (0, 3) for service in ("im", "pres")}
    expected |= {("+447700900456", "pres"): "wv:+447700900456@beta.example", ("+447700900800", "im"): "wv:+447700900800@beta.example",
                 ("+447700900800", "pres"): "wv:+447700900800@beta.example", ("+447700900699", "im"): None, ("wv:bea@beta.example", "im"): "wv:bea@beta.example",
                 ("wv:x@nowhere.wild.example", "im"): None}
    if len(leading) < 14:
        failures.append(f"zones/README.md has {len(leading)} robots")
    if len(table) < 25:
        failures.append(f"zones/README.md has {len(table)} numbers")
    for (person, service), user in expected.items():
        decisions = {}
        for who, port in (("Knot", peers.knot), ("ours", peers.own), ("Unbound before Knot", peers.over_knot), ("Unbound before ours", peers.over_own)):
            answer = peers.route(port, person, service)
            decisions[who] = (answer.get("decision"), answer.get("user"))
        if len(set(decisions.values())) != 1:
            failures.append(f"{person} for {service}: {decisions}")
        for who, (decision, found) in decisions.items():
            right = found == user and " by ssp at ssp." in str(decision) if user else str(decision).startswith("no route: ")
            if not right:
                failures.append(f"{person} for {service} at {who}: {decision} as {found}; {user} was expected")
    return failures


def changed_while_running(peers: Peers) -> list[str]:
    """A changed zone is served within two seconds; a broken one is not, and the one before it stays."""
    zone = peers.zones / "beta.example.zone"
    text = zone.read_text()
    ask = lambda: dig(peers.own, "+norec", "+short", "_imps-server._tcp.beta.example.", "SRV").strip()
    steps = [("17201", "17299", "10 0 17299 ssp.beta.example."), ("SRV 10 0 17201", "SRV ten 0 17298", "10 0 17299 ssp.beta.example."),
             ("17201", "17201", "10 0 17201 ssp.beta.example.")]
    failures = []
    for old, new, expected in steps:
        changed = zone.with_suffix(".new")
        changed.write_text(text.replace(old, new))
        changed.replace(zone)
        if "ten" in new:
            time.sleep(2.2)
        until = time.monotonic() + 4
        while ask() != expected and time.monotonic() < until:
            time.sleep(0.1)
        if ask() != expected:
            failures.append(f"after {old} became {new}: {ask()!r} and not {expected!r}")
    return failures


def names(zones: pathlib.Path) -> list[str]:
    """Every owner in the files, and beside each of them names that wildcards, cuts and empty steps decide about."""
    found: dict[str, None] = {}
    for path in sorted(zones.glob("*.zone")):
        origin = path.name.removesuffix(".zone") + "."
        found[origin] = None
        for line in path.read_text().splitlines():
            owner = re.match(r"[^\s;$@()\"][^\s]*", line)
            if owner:
                name = owner[0] if owner[0].endswith(".") else f"{owner[0]}.{origin}"
                parts = name.split(".")
                plain = name.removeprefix("*.")
                for one in (name, plain, f"9.{plain}", f"8.9.{plain}", f"*.9.{plain}", ".".join(parts[1:]), ".".join(["9"] + parts[1:])):
                    found[one] = None
    return [name for name in found if any(name == f"{path.name.removesuffix('.zone')}." or name.endswith(f".{path.name.removesuffix('.zone')}.")
                                           for path in zones.glob("*.zone"))]


def within_a_zone(answer: Answer | None, origins: list[str]) -> tuple[str, str, list[str], tuple[str, ...]] | None:
    """What must be alike: an alias may be followed into another zone of the same server, or left to the one who asks (RFC 1034
    §4.3.2); the owner is spelled as in the file or as it was asked."""
    if answer is None:
        return None
    zone = lambda name: max((origin for origin in origins if f".{name}".endswith(f".{origin}.")), key=len, default="")
    records = [record.split(" ", 1)[0].lower() + " " + record.split(" ", 1)[1] for record in answer.answer]
    leaving = [record for record in records if " IN CNAME " in record and zone(record.split()[0]) != zone(record.split()[-1])]
    if leaving:
        inside = [record for record in records if " IN CNAME " in record and zone(record.split()[0]) == zone(answer.question.split()[0])]
        return "", "", inside, ()
    return answer.status, answer.flags, records, answer.authority


class Answer(collections.namedtuple("Answer", "question status flags answer authority")):
    """What dig saw of one response: records without order, TTLs included."""


def answers(folder: pathlib.Path, port: int, questions: list[tuple[str, str]]) -> dict[str, Answer]:
    batch = folder / "questions"
    batch.write_text("".join(f"+norec {name} {rtype}\n" for name, rtype in questions))
    return {one.question: one for one in parse(dig(port, "+time=2", "+tries=2", "-f", str(batch)))}


def parse(text: str) -> list[Answer]:
    found = []
    for block in text.split(";; Got answer:")[1:]:
        question, status, flags, section = "", "", "", None
        sections: dict[str, list[str]] = {"ANSWER": [], "AUTHORITY": []}
        for line in block.splitlines():
            if header := re.search(r"status: (\w+)", line):
                status = header[1]
            elif line.startswith(";; flags:"):
                flags = line.removeprefix(";; flags:").split(";")[0].strip()
            elif title := re.match(r";; (\w+) SECTION:", line):
                section = sections.get(title[1])
            elif re.match(r";[^; ]", line):
                question = " ".join(line[1:].split()).lower()
            elif not line or line.startswith(";"):
                section = None
            elif section is not None:
                section.append(" ".join(line.split()))
        found.append(Answer(question, status, flags, tuple(sorted(sections["ANSWER"])), tuple(sorted(sections["AUTHORITY"]))))
    return found


def dig(port: int, *arguments: str) -> str:
    done = subprocess.run(["dig", "@127.0.0.1", "-p", str(port), *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


def have(name: str, package: str) -> bool:
    if shutil.which(name, path=SYSTEM):
        return True
    if os.geteuid() == 0:
        print(f"installing {package}", flush=True)
        # Debian's scripts must not start a system service.
        policy = pathlib.Path("/usr/sbin/policy-rc.d")
        made = not policy.exists()
        if made:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "check": False}
        if subprocess.run(install, **quiet).returncode:
            subprocess.run(["apt-get", "update", "-qq"], **quiet)
            subprocess.run(install, **quiet)
        if made:
            policy.unlink()
    return shutil.which(name, path=SYSTEM) is not None


# Numbers of the zone of mistakes whose expressions dig calls a bad packet: +447700900700 to 703.
UNREADABLE = 4
NUMBERS = "7.0.0.9.0.0.7.7.4.4.e164enum.net."

# Wildcards of RFC 4592, empty steps, aliases in and out, a cut, names with odd octets.
WILD = r"""$ORIGIN wild.example.
$TTL 120
@            IN SOA ns hostmaster ( 1 3600 600 604800 30 )
             IN NS  ns
             IN MX  10 mail
ns           IN A   127.0.0.1
mail         IN A   127.0.0.2
             IN AAAA ::1
*            IN TXT "anything"
             IN MX  10 mail
host         IN A   127.0.0.3
sub.*        IN TXT "below a star"
a.b.deep     IN A   127.0.0.4
*.deep       IN A   127.0.0.5
alias        IN CNAME host
*.alias      IN CNAME alias
far          IN CNAME ssp.beta.example.
away         IN CNAME host.elsewhere.invalid.
loop-a       IN CNAME loop-b
loop-b       IN CNAME loop-a
gone         IN CNAME nothing.deep2
cut          IN NS  ns.cut
ns.cut       IN A   127.0.0.6
*.star-alias IN CNAME host
_x._tcp      IN SRV 10 5 1234 host
             IN SRV 20 5 1235 .
odd\046dot   IN TXT "a \"quoted\" \\ text" "and a second"
UPPER        IN A   127.0.0.7
"""

WILD_NUMBERS = r"""$ORIGIN wild.e164enum.net.
$TTL 60
@       IN SOA ns.e164enum.net. hostmaster.e164enum.net. 1 1h 10m 1w 30
        IN NS  ns.e164enum.net.
*.7.4.4 IN NAPTR 100 10 "u" "E2U+im" "!^(.*)$!im:\\1@beta.example!" .
1.2.3.7.4.4 IN NAPTR 100 10 "u" "E2U+im" "!^(.*)$!im:\\1@alpha.example!" .
"""

UNBOUND = """server:
  interface: 127.0.0.1@{port}
  port: {port}
  access-control: 127.0.0.0/8 allow
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound-{port}.pid"
  use-syslog: no
  logfile: ""
  do-not-query-localhost: no
  do-daemonize: no
  module-config: "iterator"
  num-threads: 1
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@9
"""

CONFIG = """[gateway]
node = "asker"
domains = ["asker.example"]
data_dir = "{folder}/data"

[routing]
views = [{{ name = "peers", resolvers = ["127.0.0.1:{port}"] }}]
apexes = [{{ apex = "e164enum.net", view = "peers", trust = "private" }}, {{ apex = "e164.arpa", view = "peers" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}
"""

if __name__ == "__main__":
    sys.exit(main())
