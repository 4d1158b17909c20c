"""Edits an XMP packet as text, so that all that is not touched stays byte for byte.

The rule: the parser only tells where things stand (byte offsets); changes are splices. Comments, processing
instructions, prefixes, attribute order and white space of other programs survive, since they are never
written anew. Only UTF-8 packets without a DOCTYPE are edited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
XML = "http://www.w3.org/XML/1998/namespace"

EMPTY_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b" </rdf:RDF>\n"
    b"</x:xmpmeta>\n"
    b'<?xpacket end="w"?>\n'
)

_SEPARATOR = "\n"  # cannot stand in a namespace's name, where expat has made it a space
_START_TAG = re.compile(rb"<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Element:
    """One element: its name as (namespace, local), and where its tags stand, in bytes. ``written`` holds
    its attributes' names as the packet spells them."""

    name: tuple[str, str]
    attributes: dict[tuple[str, str], str]
    start: int
    inner_start: int
    inner_end: int = 0
    empty: bool = False
    text: str = ""
    written: dict[tuple[str, str], str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)

    def child(self, namespace: str, local: str) -> Element | None:
        return next((entry for entry in self.children if entry.name == (namespace, local)), None)

    def walk(self) -> Iterator[Element]:
        yield self
        for entry in self.children:
            yield from entry.walk()


def parse(packet: bytes) -> Element:
    """The packet's root element.

    Raises:
        ValueError: it is no well-formed XML in UTF-8, or has a DOCTYPE.
    """
    packet.decode("utf-8")
    parser = expat.ParserCreate("utf-8", namespace_separator=_SEPARATOR)
    parser.namespace_prefixes = True
    root = Element(("", ""), {}, 0, 0)
    stack = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        position = parser.CurrentByteIndex
        tag = _START_TAG.match(packet, position)
        if tag is None:
            raise ValueError(f"no tag at byte {position}")
        element = Element(
            _name(name),
            {_name(key): value for key, value in attributes.items()},
            position,
            tag.end(),
            empty=tag.group().endswith(b"/>"),
            written={_name(key): _written(key) for key in attributes},
        )
        stack[-1].children.append(element)
        stack.append(element)

    def end(name: str) -> None:
        element = stack.pop()
        element.inner_end = element.inner_start if element.empty else parser.CurrentByteIndex

    def text(data: str) -> None:
        stack[-1].text += data

    def doctype(*_: object) -> None:
        raise ValueError("it has a DOCTYPE")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return root.children[0]


class Splices:
    """Changes to a packet, gathered and then made together."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self._changes: list[tuple[int, int, bytes]] = []

    def replace_inner(self, element: Element, content: str) -> None:
        """Put ``content`` (XML) between the element's tags."""
        if element.empty:
            tag = self.packet[element.start : element.inner_start]
            qname = re.match(rb"<([^\s/>]+)", tag)
            closing = b"</" + (qname.group(1) if qname else b"") + b">"
            opened = tag[:-2].rstrip() + b">"
            self._changes.append(
                (element.start, element.inner_start, opened + content.encode() + closing),
            )
        else:
            self._changes.append((element.inner_start, element.inner_end, content.encode()))

    def replace_attribute(self, element: Element, name: tuple[str, str], value: str) -> None:
        """Give an attribute the element has another value."""
        tag = self.packet[element.start : element.inner_start]
        written = re.escape(element.written[name].encode())
        found = re.search(rb"\s" + written + rb"\s*=\s*(\"[^\"]*\"|'[^']*')", tag)
        if found is None:
            raise ValueError(f"no attribute {element.written[name]}")
        self._changes.append(
            (
                element.start + found.start(1),
                element.start + found.end(1),
                f'"{xml_attribute(value)}"'.encode(),
            )
        )

    def append(self, element: Element, content: str) -> None:
        """Put ``content`` (XML) before the element's end tag."""
        if element.empty:
            self.replace_inner(element, content)
        else:
            self._changes.append((element.inner_end, element.inner_end, content.encode()))

    def prepend(self, element: Element, content: str) -> None:
        """Put ``content`` (XML) after the element's start tag."""
        if element.empty:
            self.replace_inner(element, content)
        else:
            self._changes.append((element.inner_start, element.inner_start, content.encode()))

    def made(self) -> bytes:
        """The packet with all changes."""
        packet = self.packet
        for start, end, content in sorted(self._changes, key=lambda change: change[:2], reverse=True):
            packet = packet[:start] + content + packet[end:]
        return packet


def xml_text(text: str) -> str:
    """The text as XML character data; characters XML cannot hold become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})


def xml_attribute(text: str) -> str:
    """The text as an attribute's value in double quotes."""
    return escape(_NOT_XML.sub("\ufffd", text), {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def _name(name: str) -> tuple[str, str]:
    parts = name.split(_SEPARATOR)
    return (parts[0], parts[1]) if len(parts) > 1 else ("", name)


def _written(name: str) -> str:
    parts = name.split(_SEPARATOR)
    return f"{parts[2]}:{parts[1]}" if len(parts) > 2 else parts[-1]
