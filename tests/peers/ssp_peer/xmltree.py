"""XML in and out.

Reading is generous: namespaces are dropped, element names compare without case, attribute names exactly and then without
case, text is trimmed (SSP reference §16.1). Document types are refused, depth and size are bounded. Writing is done here
and not by `xml.etree`, because the observed peer writes things that no correct serialiser would (§14).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

from .personality import Personality

MAX_BYTES = 1 << 20
MAX_DEPTH = 32

# Elements whose text the observed peer does not escape (§14.4b).
FREE_TEXT = ("InviteNote", "ResponseNote", "CancelNote", "StatusDescription", "ScreenName", "Name")


class Malformed(Exception):
    """The bytes are not a document that SSP could mean; the HTTP answer is 400."""


def E(tag: str, attributes: dict | None = None, *children, text: str | None = None) -> ET.Element:
    """Builds an element; attributes and children that are None are left out."""
    element = ET.Element(tag)
    for name, value in (attributes or {}).items():
        if value is not None:
            element.set(name, str(value))
    element.text = text
    element.extend(child for child in children if child is not None)
    return element


def parse(data: bytes, repair: bool = True) -> ET.Element:
    """Reads one document. With `repair`, tries the two repairs of §14.4 before giving up."""
    if len(data) > MAX_BYTES:
        raise Malformed("document too large")
    try:
        return _read(data)
    except Malformed:
        if not repair:
            raise
        return _read(_repaired(data))


def serialise(element: ET.Element, personality: Personality) -> bytes:
    """Writes a whole document, with the declaration the personality uses."""
    declaration = "<?xml version='1.0'?>\n" if personality.single_quoted_declaration else '<?xml version="1.0" encoding="UTF-8"?>\n'
    return (declaration + _write(element, personality)).encode("utf-8")


def fragment(element: ET.Element, personality: Personality) -> str:
    """Writes one element without a declaration."""
    return _write(element, personality)


def name(element: ET.Element) -> str:
    """Local name as written."""
    return element.tag.rpartition("}")[2]


def named(element: ET.Element, tag: str) -> bool:
    """Whether the element has this local name, without case."""
    return name(element).lower() == tag.lower()


def child(element: ET.Element | None, *path: str) -> ET.Element | None:
    """The first direct child along a path of local names, or None."""
    for tag in path:
        if element is None:
            return None
        element = next((c for c in element if named(c, tag)), None)
    return element


def children(element: ET.Element | None, *tags: str) -> list[ET.Element]:
    """All direct children with one of the names."""
    if element is None:
        return []
    return [c for c in element if any(named(c, tag) for tag in tags)]


def attr(element: ET.Element | None, key: str) -> str | None:
    """An attribute by its exact name, else without case."""
    if element is None:
        return None
    if key in element.attrib:
        return element.attrib[key]
    return next((v for k, v in element.attrib.items() if k.rpartition("}")[2].lower() == key.lower()), None)


def scalar(element: ET.Element | None, key: str) -> str | None:
    """An extension's scalar: attribute, or child element with a capital first letter (SSP extensions)."""
    value = attr(element, key)
    if value is not None:
        return value
    found = child(element, key[:1].upper() + key[1:])
    return text(found) if found is not None else None


def text(element: ET.Element | None) -> str:
    """Trimmed text of an element; empty when there is none."""
    return (element.text or "").strip() if element is not None else ""


class _NoDoctype(ET.TreeBuilder):
    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def doctype(self, *_):
        raise Malformed("document type declaration refused")

    def start(self, tag, attrs):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Malformed("nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag):
        self.depth -= 1
        return super().end(tag)


def _read(data: bytes) -> ET.Element:
    parser = ET.XMLParser(target=_NoDoctype())
    try:
        parser.feed(data)
        return parser.close()
    except ET.ParseError as error:
        raise Malformed(f"not well-formed: {error}") from None
    except (ValueError, LookupError) as error:
        raise Malformed(f"unreadable: {error}") from None


def _repaired(data: bytes) -> bytes:
    try:
        document = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: {error}") from None
    document = re.sub(r"(<Canceled>(?:(?!</Canceled>).)*?)<Canceled\s*/>", r"\1</Canceled>", document, flags=re.S)
    for tag in FREE_TEXT:
        document = re.sub(rf"(<{tag}(?:\s[^<>]*)?(?<!/)>)(.*?)(</{tag}\s*>)", _escape_body, document, flags=re.S)
    return document.encode("utf-8")


def _escape_body(match: re.Match) -> str:
    body = re.sub(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)", "&amp;", match[2])
    return match[1] + body.replace("<", "&lt;") + match[3]


def _write(element: ET.Element, p: Personality) -> str:
    tag = name(element)
    raw = p.unescaped_text
    out = [f"<{tag}"]
    for key, value in element.attrib.items():
        space = "\n" if key == "procotolVersion" else " "
        out.append(f'{space}{key}="{value if raw else escape(value, {chr(34): "&quot;"})}"')
    if not len(element) and not element.text:
        return "".join(out) + "/>"
    out.append(">")
    if element.text:
        body = element.text if raw and tag in FREE_TEXT else escape(element.text)
        out.append(f"\n{body}\n" if p.framed_text else body)
    gap = "\n\n" if p.framed_text else ""
    out.extend(gap + _write(c, p) for c in element)
    out.append(gap if len(element) else "")
    out.append("<Canceled/>" if tag == "Canceled" and p.broken_canceled else f"</{tag}>")
    return "".join(out)
