"""XMP sidecars: caption and tags, merged into an ``.xmp`` that is there already.

The parser only tells where things stand (byte offsets); changes are splices. Comments, processing
instructions, prefixes, attribute order and white space of other programs survive, since they are never
written anew. Only UTF-8 packets without a DOCTYPE are edited.

Nothing of anybody else's is lost. A description somebody wrote stays unless it is to be overwritten;
the caption itself always stands in ``vp:caption`` (with ``vp:model``), by which a later run knows a
description as its own. Tags are added to the subjects there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from visionpipe.errors import OutputError
from visionpipe.files import back_up, output_errors
from visionpipe.results import ItemResult
from visionpipe.sinks.ownership import place_of
from visionpipe.sinks.sidecar import SidecarSink
from visionpipe.sinks.sink import encodable

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


VP = "urn:visionpipe:xmp:1.0:"
_LANGUAGE = (XML, "lang")


class XmpSidecarSink(SidecarSink):
    """Writes ``a.xmp`` beside ``a.jpg``, as Lightroom, Bridge and digiKam read it (darktable wants
    ``pattern="{name}.xmp"``).

    Args:
        folder, pattern, root, locate: as for ``SidecarSink``.
        record: as there; nothing is looked up in it, since the packet tells whose its description is.
        existing: "overwrite" puts the caption in place of a description that somebody else wrote, and leaves
            a numbered backup of the sidecar; every other policy keeps it.
        tags: whether tags are asked for, which are added to a sidecar whose description stays.
    """

    usual_pattern = "{stem}.xmp"

    def __init__(self, folder: str | Path | None = None, *, tags: bool = False, **options: Any) -> None:
        super().__init__(folder, **options)
        self._tags = tags

    def content(self, result: ItemResult) -> bytes:
        return self._merged(EMPTY_PACKET, result)

    def replace(self, result: ItemResult, place: Path) -> None:
        with output_errors(place):
            packet = place.read_bytes()
        try:
            made = self._merged(packet, result)
            foreign = bool(result.caption) and has_foreign_description(packet)
        except ValueError as error:
            raise OutputError(
                f"it is there and is no XMP that can be edited safely ({error})",
                cure="Move it away, or repair it; it was left as it is.",
                subject=str(place),
                code="bad_sidecar",
                scope="item",
            ) from error
        if foreign and self.existing == "keep":
            self.kept += 1
        if made == packet:
            return
        if foreign and self.existing == "overwrite":
            back_up(place)
        self.put(place, made)

    def keeps(self, source: str, file: Path | None) -> bool:
        """Whether its description is somebody else's and stays, and there is nothing to add to it."""
        if self.existing != "keep" or self._tags:
            return False
        try:
            return has_foreign_description(place_of(self.naming.target(source, file)).read_bytes())
        except (OutputError, OSError, ValueError):
            return False  # it is not there; or what is wrong with it is told when it is written

    def _merged(self, packet: bytes, result: ItemResult) -> bytes:
        return merged(
            packet,
            caption=encodable(result.caption or ""),
            tags=tags_of(result),
            model=encodable(result.model or ""),
            overwrite=self.existing == "overwrite",
        )


def has_foreign_description(packet: bytes) -> bool:
    """Whether the packet's description is not the caption that an earlier run put there.

    Raises:
        ValueError: it is no XMP packet.
    """
    rdf = next((entry for entry in parse(packet).walk() if entry.name == (RDF, "RDF")), None)
    descriptions = [entry for entry in rdf.children if entry.name == (RDF, "Description")] if rdf else []
    said = _said(descriptions, DC, "description")
    return bool(said) and said != _said(descriptions, VP, "caption")


def _said(descriptions: Sequence[Element], namespace: str, local: str) -> str:
    """A property's text in the default language, or as an attribute."""
    for entry in descriptions:
        if (namespace, local) in entry.attributes:
            return entry.attributes[(namespace, local)].strip()
    found = _property(descriptions, namespace, local)
    if found is None:
        return ""
    alternatives = found.child(RDF, "Alt")
    if alternatives is None:
        return found.text.strip()
    default = next((li for li in alternatives.children if li.attributes.get(_LANGUAGE) == "x-default"), None)
    return default.text.strip() if default is not None else ""


def tags_of(result: ItemResult) -> tuple[str, ...]:
    """The result's ``tags``, where its data has a list of that name."""
    tags = result.data.get("tags") if isinstance(result.data, dict) else None
    if not isinstance(tags, list):
        return ()
    return tuple(
        dict.fromkeys(encodable(tag).strip() for tag in tags if isinstance(tag, str) and tag.strip())
    )


def merged(packet: bytes, *, caption: str, tags: Sequence[str], model: str, overwrite: bool) -> bytes:
    """The packet with caption and tags in it.

    Raises:
        ValueError: it is no XMP packet.
    """
    rdf = next((entry for entry in parse(packet).walk() if entry.name == (RDF, "RDF")), None)
    if rdf is None:
        raise ValueError("there is no rdf:RDF")
    splices = Splices(packet)
    descriptions = [entry for entry in rdf.children if entry.name == (RDF, "Description")]
    fresh: list[str] = []
    earlier = _set_own(splices, descriptions, "caption", caption, fresh)
    if model:
        _set_own(splices, descriptions, "model", model, fresh)
    if caption:
        _set_description(splices, descriptions, caption, earlier, overwrite, fresh)
    if tags:
        _add_subjects(splices, descriptions, tags, fresh)
    if fresh:
        about = next((_about(entry) for entry in descriptions), "")
        properties = "".join(f"   {line}\n" for line in fresh)
        splices.append(
            rdf,
            f' <rdf:Description xmlns:rdf="{RDF}" rdf:about="{xml_attribute(about)}" xmlns:dc="{DC}"'
            f' xmlns:vp="{VP}">\n{properties}  </rdf:Description>\n ',
        )
    return splices.made()


def _about(description: Element) -> str:
    return description.attributes.get((RDF, "about")) or description.attributes.get(("", "about"), "")


def _property(descriptions: Sequence[Element], namespace: str, local: str) -> Element | None:
    found = (entry.child(namespace, local) for entry in descriptions)
    return next((entry for entry in found if entry is not None), None)


def _has_attribute(descriptions: Sequence[Element], namespace: str, local: str) -> bool:
    return any((namespace, local) in entry.attributes for entry in descriptions)


def _set_own(
    splices: Splices, descriptions: Sequence[Element], local: str, value: str, fresh: list[str]
) -> str | None:
    """Set one of our own properties; returns what it was."""
    element = _property(descriptions, VP, local)
    if element is not None:
        splices.replace_inner(element, xml_text(value))
        return element.text
    for entry in descriptions:
        if (VP, local) in entry.attributes:  # another program wrote the packet anew, in short form
            splices.replace_attribute(entry, (VP, local), value)
            return entry.attributes[(VP, local)]
    fresh.append(f"<vp:{local}>{xml_text(value)}</vp:{local}>")
    return None


def _set_description(
    splices: Splices,
    descriptions: Sequence[Element],
    caption: str,
    earlier: str | None,
    overwrite: bool,
    fresh: list[str],
) -> None:
    entry = f'<rdf:li xmlns:rdf="{RDF}" xml:lang="x-default">{xml_text(caption)}</rdf:li>'
    present = _property(descriptions, DC, "description")
    if present is None:
        if not _has_attribute(descriptions, DC, "description"):
            fresh.append(f"<dc:description><rdf:Alt>{entry}</rdf:Alt></dc:description>")
        elif overwrite:
            raise ValueError("its dc:description is an attribute")
        return
    alternatives = present.child(RDF, "Alt")
    if alternatives is None:
        if not present.text.strip() and not present.children:
            splices.replace_inner(present, f'<rdf:Alt xmlns:rdf="{RDF}">{entry}</rdf:Alt>')
        elif overwrite:
            raise ValueError("its dc:description is not a list of languages")
        return
    default = next((li for li in alternatives.children if li.attributes.get(_LANGUAGE) == "x-default"), None)
    if default is None:
        splices.prepend(alternatives, entry)
    elif overwrite or not default.text.strip() or default.text.strip() == (earlier or "").strip():
        splices.replace_inner(default, xml_text(caption))


def _add_subjects(
    splices: Splices, descriptions: Sequence[Element], tags: Sequence[str], fresh: list[str]
) -> None:
    present = _property(descriptions, DC, "subject")
    bag = None
    if present is not None:
        bag = present.child(RDF, "Bag") or present.child(RDF, "Seq")
        if bag is None and (present.text.strip() or present.children):
            raise ValueError("its dc:subject is not a list")
    known = {li.text for li in bag.children} if bag is not None else set()
    items = "".join(f'<rdf:li xmlns:rdf="{RDF}">{xml_text(tag)}</rdf:li>' for tag in tags if tag not in known)
    if bag is not None:
        if items:
            splices.append(bag, items)
    elif present is not None:
        splices.replace_inner(present, f'<rdf:Bag xmlns:rdf="{RDF}">{items}</rdf:Bag>')
    else:
        fresh.append(f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>")
