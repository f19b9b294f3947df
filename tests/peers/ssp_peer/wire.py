"""The SSP envelope and its small values: documents, addresses, digests, content, dates.

A `Document` holds one setup step or the transactions of one session (SSP reference §3); primitives stay XML elements,
read with the generous look-ups of `xmltree`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from . import xmltree
from .personality import Personality
from .xmltree import E, Malformed, attr, named

NAMESPACE = "http://www.openmobilealliance.org/DTD/WV-SSP1.3"
CONTENT_TYPE = "application/vnd.wv.ssp+xml"


@dataclass
class Transaction:
    """One primitive with its direction in the exchange (§3)."""

    mode: str
    tid: str
    primitive: ET.Element

    @property
    def name(self) -> str:
        return xmltree.name(self.primitive)

    @property
    def is_request(self) -> bool:
        return self.mode == "Request"


@dataclass
class Document:
    """A WV-SSP-Message: `setup` without a session id, otherwise the transactions of a session."""

    transactions: list[Transaction] = field(default_factory=list)
    session_id: str | None = None

    @property
    def is_setup(self) -> bool:
        return self.session_id is None

    def encode(self, personality: Personality) -> bytes:
        """The bytes as this personality writes them."""
        if self.is_setup:
            inner = [E("SetupTransaction", {"mode": t.mode, "transactionID": t.tid}, t.primitive) for t in self.transactions[:1]]
        else:
            parts = [E("Transaction", {"mode": t.mode, "transactionID": t.tid}, t.primitive) for t in self.transactions]
            inner = [E("Session", {"sessionID": self.session_id}, *parts)]
        return xmltree.serialise(E("WV-SSP-Message", {"xmlns": NAMESPACE}, *inner), personality)


def decode(data: bytes, repair: bool = True) -> Document:
    """Bytes to a document; `Malformed` is what §1.2 answers with 400."""
    root = xmltree.parse(data, repair)
    if not named(root, "WV-SSP-Message"):
        raise Malformed("no WV-SSP-Message")
    if not len(root) or not len(root[0]):
        raise Malformed("no content")
    first = root[0]
    if named(first, "SetupTransaction"):
        found = _transaction(first)
        if found is None:
            raise Malformed("setup step without transactionID")
        return Document([found])
    if named(first, "Session"):
        found = [_transaction(e) for e in first if named(e, "Transaction")]
        return Document([t for t in found if t], attr(first, "sessionID") or "")
    raise Malformed(f"{xmltree.name(first)} is neither SetupTransaction nor Session")


def _transaction(element: ET.Element) -> Transaction | None:
    tid = attr(element, "transactionID")
    if not tid or not len(element):
        return None
    mode = "Request" if (attr(element, "mode") or "").strip().lower() == "request" else "Response"
    return Transaction(mode, tid, element[0])


@dataclass(frozen=True)
class Address:
    """`wv:local/resource@domain` taken apart (§6.1); compares without case, the domain may be empty."""

    local: str
    domain: str
    resource: str | None = None

    @classmethod
    def parse(cls, value: str | None) -> "Address":
        value = (value or "").strip()
        if value.lower().startswith("wv:"):
            value = value[3:]
        local, _, domain = value.partition("@")
        user, slash, resource = local.partition("/")
        return cls(user.lower(), domain.lower(), resource.lower() if slash else None)

    def within(self, domain: str) -> "Address":
        """The same address, with `domain` where it has none."""
        return self if self.domain else Address(self.local, domain.lower(), self.resource)

    def __str__(self) -> str:
        local = self.local if self.resource is None else f"{self.local}/{self.resource}"
        return f"wv:{local}@{self.domain}" if self.domain else f"wv:{local}"


def service_id(domain: str) -> str:
    """`wv:@domain`."""
    return f"wv:@{domain}"


def service_domain(value: str | None) -> str | None:
    """The domain in a serviceID: what follows the first `@`; None without one (§4.2)."""
    _, at, domain = (value or "").partition("@")
    return domain.strip() or None if at else None


def digest(secret: bytes) -> str:
    """base64 of the 16 octets of MD5 over the secret (§4.2)."""
    return base64.b64encode(hashlib.md5(secret, usedforsecurity=False).digest()).decode("ascii")


def digest_matches(element: ET.Element | None, secret: bytes) -> bool:
    """Whether a PasswordDigest proves the secret; compares decoded octets in constant time."""
    given = unbase64(xmltree.text(element))
    return given is not None and hmac.compare_digest(given, hashlib.md5(secret, usedforsecurity=False).digest())


def secret_of(token: ET.Element | None) -> bytes | None:
    """The secret in a SendSecretToken: text, or base64 when `encoding` is there."""
    element = xmltree.child(token, "SecretToken")
    value = xmltree.text(element)
    if not value:
        return None
    return unbase64(value) if attr(element, "encoding") else value.encode("utf-8")


def unbase64(value: str) -> bytes | None:
    """Decodes base64 with any white space in it; None when it is not base64."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def content_of(element: ET.Element | None) -> str:
    """The text in a ContentData (§9.2)."""
    if element is None:
        return ""
    encoding = (attr(element, "encoding") or "none").lower()
    if encoding == "none":
        return xmltree.text(element)
    octets = unbase64(xmltree.text(element))
    return octets.decode("utf-8", "replace") if octets is not None else ""


def stamp(now: float | None = None, wrong_month: bool = False) -> str:
    """A date as §9.3 has it; with `wrong_month` the month is five too early, as the observed peer's store makes it."""
    at = time.gmtime(time.time() if now is None else now)
    month = (at.tm_mon + 6) % 12 + 1 if wrong_month else at.tm_mon
    return f"{at.tm_year:04}-{month:02}-{at.tm_mday:02}T{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}Z"
