"""A partner's walk through the sandbox: certificates of his own, `impsgw lab --partner`, and the peer's server beside it.

What the partner knows is what stands in `docs/peering.md` and `zones/README.md`, and what the command prints: the addresses, and the
file to trust, are read from there. The sandbox's ports are fixed, so each run has a loopback address of its own.
"""

from __future__ import annotations

import pathlib
import re
import secrets
import subprocess
import threading

from tests.peers.ssp_peer.context import Context
from tests.peers.ssp_peer.discovery import Dns
from tests.peers.ssp_peer.node import Node
from tests.peers.ssp_peer.personality import STRICT
from tests.peers.ssp_peer.subscriber import LocalSubscriber
from tests.peers.ssp_peer.transport import Tls

ALPHA, CHARLIE, MALLORY = "alpha.example", "charlie.example", "mallory.example"
CAY, CAT = "+447700900601", "+447700900602"


class Sandbox:
    """The sandbox's process, and the servers of the partner and of a stranger."""

    def __init__(self, name: str, shape, binary: str, folder: pathlib.Path, log: str | None) -> None:
        self.binary, self.folder, self.log = binary, folder, log
        self.nodes: list[Node] = []
        self.process: subprocess.Popen | None = None
        self.context: Context | None = None

    def start(self) -> None:
        """Brings everything up; the context is ready afterwards."""
        certs = self.folder / "certs"
        self._run("cert", "authority", "Charlie's own", "--dir", str(certs))
        for domain in (CHARLIE, MALLORY):
            self._run("cert", "issue", domain, "--dir", str(certs))
        address = f"127.{secrets.randbelow(190) + 64}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
        # The port has to be known before the sandbox starts, and its authority before the server is complete.
        charlie = self._node(CHARLIE, {CAY: "Cay", CAT: "Cat"}, certs)
        said = self._start_sandbox(address, certs, charlie.listener.port)
        dns = re.search(r"^  DNS +([\d.]+):(\d+)", said, re.MULTILINE)
        trust = re.search(r"^  trust +(\S+)", said, re.MULTILINE)
        if not dns or not trust:
            raise SystemExit(f"the sandbox does not say where its DNS is, or what to trust:\n{said}")
        mallory = self._node(MALLORY, {CAY: "Mal"}, certs)
        for node in (charlie, mallory):
            node.dns = Dns((dns[1], int(dns[2])))
            node.trust(trust[1])
        self.context = Context(charlie, LocalSubscriber(charlie, CAT), f"https://{address}/", ALPHA, "sandbox", bea_number=CAY, ben_number=CAT,
                               other_partner=mallory)

    def stop(self) -> None:
        """Ends what was started."""
        for node in self.nodes:
            node.close()
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def _node(self, domain: str, users: dict[str, str], certs: pathlib.Path) -> Node:
        tls = Tls(str(certs / f"{domain}.pem"), str(certs / f"{domain}.key.pem"), str(certs / "ca.pem"))
        node = Node(domain, users, {}, STRICT, 0, tls, self.log if domain == CHARLIE else None)
        self.nodes.append(node)
        return node

    def _start_sandbox(self, address: str, certs: pathlib.Path, port: int) -> str:
        log = self.folder / "gateway.log"
        command = [self.binary, "lab", "--listen", address, "--partner", CHARLIE, "--ca", str(certs / "ca.pem"),
                   "--partner-server", f"127.0.0.1:{port}", "--dir", str(self.folder / "sandbox")]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        for _ in range(1200):
            said = log.read_text(errors="replace")
            if "The sandbox is up" in said:
                return said
            if self.process.poll() is not None:
                raise SystemExit(f"the sandbox ended before it was up\n{said[-3000:]}")
            threading.Event().wait(0.05)  # nothing tells that another process has written a line
        raise SystemExit("the sandbox did not come up within a minute")

    def _run(self, *arguments: str) -> None:
        subprocess.run([self.binary, *arguments], check=True, capture_output=True, timeout=60)
