"""Discovery by DNS: the SRV records of a domain's IMPS server and the addresses of its hosts (SSP reference §2, RFC 1035, RFC 2782).

One question at a time over UDP, to the one resolver that the server was given. It remembers nothing and follows no alias.
"""

from __future__ import annotations

import secrets
import socket
import struct

A, SRV = 1, 33


class Dns:
    """The resolver of a server."""

    def __init__(self, address: tuple[str, int], timeout: float = 2.0) -> None:
        self.server, self.timeout = address, timeout

    def servers(self, domain: str) -> list[tuple[str, int]]:
        """Host and port of each IMPS server of a domain, those to be tried first first; none without a record."""
        found = []
        for data, message in self._ask(f"_imps-server._tcp.{domain}", SRV):
            priority, weight, port = struct.unpack_from("!HHH", message, data)
            found.append((priority, -weight, _name(message, data + 6)[0], port))
        return [(host, port) for _, _, host, port in sorted(found)]

    def address(self, host: str) -> str | None:
        """The first IPv4 address of a host."""
        return next((socket.inet_ntoa(message[data:data + 4]) for data, message in self._ask(host, A)), None)

    def _ask(self, name: str, kind: int) -> list[tuple[int, bytes]]:
        """Where in the answer the data of each record of this name and type begins."""
        number = secrets.randbelow(1 << 16)
        labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
        query = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
        for _ in range(3):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.settimeout(self.timeout)
                asking.sendto(query, self.server)
                try:
                    message = asking.recv(65535)
                except OSError:
                    continue
            if struct.unpack_from("!H", message)[0] == number:
                return _records(message, name.rstrip(".").lower(), kind)
        return []


def _records(message: bytes, wanted: str, kind: int) -> list[tuple[int, bytes]]:
    questions, answers = struct.unpack_from("!2H", message, 4)
    at, found = 12, []
    for _ in range(questions):
        at = _name(message, at)[1] + 4
    for _ in range(answers):
        owner, at = _name(message, at)
        its_kind, _, _, length = struct.unpack_from("!2HIH", message, at)
        at += 10
        if its_kind == kind and owner.lower() == wanted:
            found.append((at, message))
        at += length
    return found


def _name(message: bytes, at: int) -> tuple[str, int]:
    """A name and where what follows it begins; compressed or not."""
    labels, end, steps = [], None, 0
    while length := message[at]:
        if length >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", message, at)[0] & 0x3FFF
            steps += 1
            if steps > 64:
                raise ValueError("a name that leads to itself")
            continue
        labels.append(message[at + 1:at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), end or at + 1
