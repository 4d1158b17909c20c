"""XMP sidecars: the caption as ``dc:description`` and tags as ``dc:subject``, merged into an ``.xmp`` that is
there already.

The rule: nothing of anybody else's is lost. A description somebody wrote stays unless ``overwrite`` is given;
the caption itself always stands in ``vp:caption`` (with ``vp:model``), by which a later run knows a
description as its own. Tags are added to the subjects there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visionpipe.errors import OutputError
from visionpipe.results import ItemResult
from visionpipe.sinks.files import output_errors
from visionpipe.sinks.naming import SidecarNaming
from visionpipe.sinks.records import encodable
from visionpipe.sinks.sidecar import SidecarSink
from visionpipe.sinks.sink import Locate
from visionpipe.sinks.xmp_edit import (
    DC,
    EMPTY_PACKET,
    RDF,
    XML,
    Element,
    Splices,
    parse,
    xml_attribute,
    xml_text,
)

VP = "urn:visionpipe:xmp:1.0:"
_LANGUAGE = (XML, "lang")


class XmpSidecarSink(SidecarSink):
    """Writes ``a.xmp`` beside ``a.jpg``, as Lightroom, Bridge and digiKam read it (darktable wants
    ``pattern="{name}.xmp"``).

    Args:
        folder, pattern, root, locate: as for :class:`visionpipe.sinks.sidecar.TextSidecarSink`.
        overwrite: put the caption in place of a description that somebody else wrote.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        pattern: str = "{stem}.xmp",
        root: Path | None = None,
        locate: Locate | None = None,
        overwrite: bool = False,
    ) -> None:
        super().__init__(SidecarNaming(pattern, Path(folder) if folder else None, root, locate))
        self._overwrite = overwrite

    def content(self, result: ItemResult, target: Path) -> bytes:
        with output_errors(target):
            packet = target.read_bytes() if target.exists() else EMPTY_PACKET
        try:
            return merged(
                packet,
                caption=encodable(result.caption or ""),
                tags=tags_of(result),
                model=encodable(result.model or ""),
                overwrite=self._overwrite,
            )
        except ValueError as error:
            raise OutputError(
                f"it is there and is no XMP that can be edited safely ({error})",
                cure="Move it away, or repair it; it was left as it is.",
                subject=str(target),
                code="bad_sidecar",
                scope="item",
            ) from error


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
