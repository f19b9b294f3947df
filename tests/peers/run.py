#!/usr/bin/env python3
"""The gateway against software that shares no code with it: the Python SSP peer.

Starts the bundled DNS server, a gateway from a configuration file and the peer's servers over loopback, and plays the
peer's scenarios in each set-up: `partner` over plain HTTP, `tls` (partner over mutual TLS), `home` (two home servers behind one
gateway, a partner beyond it), `home-tls`, `home-dials` (home servers that can't be told of the gateway: they dial each partner themselves, by
the DNS view for them), `home-dials-tls`, `strict-tls` (a partner whose agreement has the strict profile), and `sandbox` (a partner
who tests his server against `impsgw lab --partner`, over mutual TLS with certificates of his own). The gateway is killed and started again where a scenario says so. Ends what it started, by process ID.
`--setup` and `--only` choose; `--jobs` set-ups and slices of them run at the same time.

A row that failed beside others is played once more alone, only to say more of it: one that passes then is called UNSTEADY, and
fails the run as well.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from tests.peers.sandbox import Sandbox  # noqa: E402
from tests.peers.setup import SETUPS, Setup  # noqa: E402
from tests.peers.ssp_peer import scenarios  # noqa: E402

MAX_AGAIN = 4  # more rows than these are not played again
SLICES = {"partner": 5, "tls": 5, "home": 5, "home-tls": 5, "home-dials": 5, "home-dials-tls": 5, "strict-tls": 1, "sandbox": 2}  # so that each takes about the same time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=str(TOP / "target/release/impsgw"))
    parser.add_argument("--setup", action="append", choices=sorted(SETUPS), default=[])
    parser.add_argument("--only", action="append", default=[], help="part of a scenario's name")
    parser.add_argument("--skip", action="append", default=[], help="scenarios that are not played; each is printed")
    parser.add_argument("--jobs", type=int, default=min(8, 3 * (os.cpu_count() or 2)), help="gateways that run at the same time")
    parser.add_argument("--slice", metavar="N/M", help="every M-th scenario from the N-th on")
    parser.add_argument("--log", help="everything on the wire, as JSON lines; with one set-up and one job")
    arguments = parser.parse_args()
    problems = scenarios.self_check()
    if problems:
        print("\n".join(f"FAIL table: {p}" for p in problems))
        return 1
    setups = arguments.setup or list(SETUPS)
    if len(setups) == 1 and (arguments.jobs == 1 or arguments.slice or arguments.log):
        with tempfile.TemporaryDirectory(prefix="impsgw-peers-") as folder:
            return play(arguments, setups[0], pathlib.Path(folder))
    return in_parallel(arguments, setups)


def in_parallel(arguments: argparse.Namespace, setups: list[str]) -> int:
    """Each slice of each set-up in a process of its own."""
    parts = [(setup, n) for setup in setups for n in range(SLICES[setup])]
    chosen = [x for only in arguments.only for x in ("--only", only)] + [x for skip in arguments.skip for x in ("--skip", skip)]

    def one(part: tuple[str, int]) -> tuple[int, str]:
        setup, n = part
        command = [sys.executable, __file__, "--binary", arguments.binary, "--setup", setup, "--slice", f"{n}/{SLICES[setup]}", *chosen]
        run = subprocess.run(command, cwd=TOP, check=False, timeout=1800, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return run.returncode, run.stdout

    began, passed, broken, again = time.monotonic(), 0, 0, []
    with concurrent.futures.ThreadPoolExecutor(max(1, arguments.jobs)) as pool:
        for (setup, _), (code, said) in zip(parts, pool.map(one, parts)):
            print(said, end="", flush=True)
            lines = said.splitlines()
            passed += sum(1 for line in lines if line.startswith("ok "))
            rows = [line.split(":")[0].split()[-1] for line in lines if line.startswith("FAIL ")]
            again += [(setup, row) for row in rows]
            broken += 1 if code and not rows else 0
    failed = [f"{setup} {row}" for setup, row in again if len(again) > MAX_AGAIN or not passes_alone(arguments, setup, row)]
    for setup, row in again:
        print(f"{'FAIL' if f'{setup} {row}' in failed else 'UNSTEADY'} {setup} {row}")
    print(f"all set-ups: {passed} passed, {len(again) + broken} failed, {len(again) - len(failed)} of them unsteady"
          f" in {time.monotonic() - began:.0f} s")
    return 1 if again or broken or not passed else 0


def passes_alone(arguments: argparse.Namespace, setup: str, row: str) -> bool:
    """Plays one row again with nothing beside it."""
    command = [sys.executable, __file__, "--binary", arguments.binary, "--setup", setup, "--jobs", "1", "--only", row]
    print(f"--- {setup} {row} again, alone", flush=True)
    return subprocess.run(command, cwd=TOP, check=False, timeout=600).returncode == 0


def play(arguments: argparse.Namespace, name: str, folder: pathlib.Path) -> int:
    """Plays the chosen scenarios in one set-up; 0 when all passed."""
    kind = Sandbox if SETUPS[name].role == scenarios.SANDBOX_ROLE else Setup
    setup = kind(name, SETUPS[name], arguments.binary, folder, arguments.log)
    try:
        setup.start()
        rows = [row for row in scenarios.chosen(SETUPS[name].scenarios, arguments.only) if row.name not in arguments.skip]
        if arguments.slice:
            n, of = (int(x) for x in arguments.slice.split("/"))
            rows = rows[n::of]
        for skipped in arguments.skip:
            print(f"SKIPPED {name} {skipped}: left out by --skip", flush=True)
        passed, failed = scenarios.play(setup.context, rows, lambda line: print(line, flush=True))
        print(f"{name}: {passed} passed, {failed} failed", flush=True)
        if failed:
            print("--- the gateway's last words")
            print((folder / "gateway.log").read_text(errors="replace")[-6000:])
        return 1 if failed else 0
    finally:
        setup.stop()


if __name__ == "__main__":
    sys.exit(main())
