#!/usr/bin/env python3
"""The gateway against software that shares no code with it: the Python SSP peer, as partner.

Starts the bundled DNS server with a zone for the peer's domain, a gateway from a configuration file, and plays the peer's
scenarios over loopback. Ends what it started, by process ID. `--binary` names the gateway; `--only` chooses scenarios.
"""

from __future__ import annotations

import argparse
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=str(TOP / "target/release/impsgw"))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--skip", action="append", default=[], help="scenarios that are not played; each is printed")
    parser.add_argument("--log", help="everything on the wire, as JSON lines")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="impsgw-peers-") as folder:
        return play(arguments, pathlib.Path(folder))


def play(arguments: argparse.Namespace, folder: pathlib.Path) -> int:
    ports = free_ports(4)
    dns, ssp, subscribers, peer = ports
    zones = folder / "zones"
    zones.mkdir()
    (zones / "bravo.example.zone").write_text(
        "$ORIGIN bravo.example.\n$TTL 60\n@ IN SOA ns hostmaster ( 1 3600 600 604800 60 )\n  IN NS ns\nns IN A 127.0.0.1\n"
        f"_imps-server._tcp IN SRV 10 0 {peer} ssp\nssp IN A 127.0.0.1\n"
    )
    (zones / "e164enum.net.zone").write_text(
        "$ORIGIN e164enum.net.\n$TTL 60\n@ IN SOA ns hostmaster ( 1 3600 600 604800 60 )\n  IN NS ns\nns IN A 127.0.0.1\n"
        '*.4.0.0.9.0.0.7.7.4.4 IN NAPTR 100 10 "u" "E2U+im" "!^(.*)$!im:\\\\1@bravo.example!" .\n'
        '                      IN NAPTR 100 10 "u" "E2U+pres" "!^(.*)$!pres:\\\\1@bravo.example!" .\n'
        # Numbers of the peer's that nobody has.
        '*.9.0.0.9.0.0.7.7.4.4 IN NAPTR 100 10 "u" "E2U+im" "!^(.*)$!im:\\\\1@bravo.example!" .\n'
    )
    # A certificate, so that https can be tried before http on the peer's plain port.
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=alpha.example",
                    "-addext", "subjectAltName=DNS:alpha.example", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
                   check=True, stderr=subprocess.DEVNULL)
    config = folder / "alpha.toml"
    config.write_text(CONFIG.format(folder=folder, dns=dns, ssp=ssp, subscribers=subscribers))
    started = []
    try:
        started.append(subprocess.Popen([arguments.binary, "zone", "serve", "--zones", str(zones), "--listen", f"127.0.0.1:{dns}"], stdout=subprocess.DEVNULL))
        log = open(folder / "gateway.log", "wb")
        started.append(subprocess.Popen([arguments.binary, "serve", "--config", str(config)], stdout=log, stderr=subprocess.STDOUT))
        for port in (dns, ssp, subscribers):
            wait_for(port, started)
        command = [sys.executable, "-m", "tests.peers.ssp_peer", "run", "--gateway-url", f"http://127.0.0.1:{ssp}/", "--listen", str(peer),
                   "--subscriber-url", f"http://127.0.0.1:{subscribers}", "--subscriber-user", "+447700900123", "--subscriber-password", "ada-at-alpha", "--role", "partner"]
        for only in arguments.only:
            command += ["--only", only]
        for skip in arguments.skip:
            command += ["--skip", skip]
        if arguments.log:
            command += ["--log", arguments.log]
        code = subprocess.run(command, cwd=TOP, check=False, timeout=1200).returncode
        if code:
            print("--- the gateway's last words")
            print((folder / "gateway.log").read_text(errors="replace")[-6000:])
        return code
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(timeout=20)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(port: int, started: list[subprocess.Popen]) -> None:
    for _ in range(200):
        if any(process.poll() is not None for process in started):
            raise SystemExit("a process ended before it listened")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            threading.Event().wait(0.05)  # nothing tells that another process listens
    raise SystemExit(f"nobody listens on port {port}")


CONFIG = """
[gateway]
node = "alpha"
domains = ["alpha.example"]
data_dir = "{folder}/data"

[ssp]
listen_plain = "127.0.0.1:{ssp}"
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
authorities = "{folder}/cert.pem"

[routing]
views = [{{ name = "lab", resolvers = ["127.0.0.1:{dns}"] }}]
apexes = [{{ apex = "e164enum.net", view = "lab", trust = "private" }}]
ladder = {{ ssp = true, sip = false, xmpp = false }}

[relay]
first_retry = "1s"

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

[[agreement]]
peer = "bravo"
domains = ["bravo.example"]
profile = "observed"
msisdn_form = "with-domain"
services.in = ["search", "presence", "message", "invite", "notice", "group"]
services.out = ["search", "presence", "message", "invite", "notice", "group"]
allowed_networks = ["127.0.0.0/8"]
tls = {{ required = false, mutual = false }}
limits = {{ requests_per_second = 2000, burst = 4000, sender_per_minute = 10000 }}
"""

if __name__ == "__main__":
    sys.exit(main())
