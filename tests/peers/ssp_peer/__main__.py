"""Command line: `python3 -m tests.peers.ssp_peer selftest | serve | run | table`. See README.md."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys

from . import scenarios, selftest
from .context import Context
from .control import Control
from .node import Node
from .personality import BY_NAME
from .subscriber import HttpSubscriber
from .transport import Tls


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.command == "selftest":
        return selftest.run(not arguments.quick)
    if arguments.command == "table":
        for row, names in scenarios.COVERAGE.items():
            print(f"{row}: {', '.join(names)}")
        problems = scenarios.self_check()
        print("\n".join(problems) if problems else "complete")
        return 1 if problems else 0
    if bool(arguments.tls_cert) != bool(arguments.tls_key and arguments.ca):
        print("--tls-cert, --tls-key and --ca belong together", file=sys.stderr)
        return 2
    return _serve(arguments) if arguments.command == "serve" else _run(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    node = _node(arguments)
    control = Control(node, arguments.control_port)
    print(f"listening {node.url} control http://127.0.0.1:{control.port}", flush=True)
    try:
        control.stopped.wait()
    except KeyboardInterrupt:
        pass
    control.close()
    node.close()
    return 0


def _run(arguments: argparse.Namespace) -> int:
    problems = scenarios.self_check()
    if problems:
        print("\n".join(f"FAIL table: {p}" for p in problems))
        return 1
    node = _node(arguments)
    ada = HttpSubscriber(arguments.subscriber_url, arguments.subscriber_user, arguments.subscriber_password)
    restart = (lambda: subprocess.run(shlex.split(arguments.restart_command), check=True, timeout=120)) if arguments.restart_command else None
    passed = failed = 0
    try:
        ada.login()
        for role in scenarios.ROLES if arguments.role == "both" else (arguments.role,):
            context = Context(node, ada, arguments.gateway_url, arguments.gateway_domain, role, scale=arguments.scale,
                              third_user=arguments.third_user, restart=restart)
            chosen = [one for one in scenarios.chosen(role, arguments.only) if one.name not in arguments.skip]
            for name in arguments.skip:
                print(f"SKIPPED {role} {name}: a known gap of the gateway", flush=True)
            ok, bad = scenarios.play(context, chosen, lambda line: print(line, flush=True))
            passed, failed = passed + ok, failed + bad
    except OSError as error:
        failed += 1
        print(f"FAIL set-up: the subscriber API at {arguments.subscriber_url}: {error}", flush=True)
    finally:
        node.close()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


def _node(arguments: argparse.Namespace) -> Node:
    tls = Tls(arguments.tls_cert, arguments.tls_key, arguments.ca) if arguments.tls_cert else None
    users = dict(pair.partition("=")[::2] for pair in arguments.user) or {selftest.BEA: "Bea", selftest.BEN: "Ben"}
    return Node(arguments.own_domain, users, {arguments.gateway_domain: arguments.gateway_url}, BY_NAME[arguments.personality],
                arguments.listen, tls, arguments.log, arguments.scale)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ssp_peer", description="an independent SSP peer for testing a gateway")
    commands = parser.add_subparsers(dest="command", required=True)
    quick = commands.add_parser("selftest", help="test the peer against itself")
    quick.add_argument("--quick", action="store_true", help="leave the scenario list out")
    commands.add_parser("table", help="show which scenario plays which row, and whether the table is complete")
    for name, about in (("serve", "be a peer, driven over the control port"), ("run", "play the scenarios against a gateway")):
        command = commands.add_parser(name, help=about)
        command.add_argument("--gateway-url", required=True, help="http(s)://host:port/ of the gateway under test")
        command.add_argument("--gateway-domain", default="alpha.example")
        command.add_argument("--own-domain", default="bravo.example")
        command.add_argument("--listen", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
        command.add_argument("--tls-cert")
        command.add_argument("--tls-key")
        command.add_argument("--ca")
        command.add_argument("--personality", choices=sorted(BY_NAME), default="strict")
        command.add_argument("--user", action="append", default=[], metavar="LOCAL=NAME", help="a hosted user; default Bea and Ben")
        command.add_argument("--log", help="file for JSON lines of everything on the wire")
        command.add_argument("--scale", type=float, default=1.0, help="factor on every delay and deadline")
        if name == "serve":
            command.add_argument("--control-port", type=int, default=0)
        else:
            command.add_argument("--role", choices=(*scenarios.ROLES, "both"), default="partner")
            command.add_argument("--only", action="append", default=[], help="part of a scenario's name; may be repeated")
            command.add_argument("--skip", action="append", default=[], help="a scenario's name, for a gap that is known; may be repeated")
            command.add_argument("--subscriber-url", default="http://127.0.0.1:8080")
            command.add_argument("--subscriber-user", default="ada")
            command.add_argument("--subscriber-password", default="ada")
            command.add_argument("--third-user", help="wv: address in a third domain that a home server may reach through the gateway")
            command.add_argument("--restart-command", help="restarts the gateway and returns when it is ready")
    return parser


if __name__ == "__main__":
    sys.exit(main())
