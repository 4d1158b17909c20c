"""XMP: what other programs wrote stays, byte for byte, and the caption is found beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sinks.sample_results import CAT, SEA
from visionpipe.sinks.sink import export
from visionpipe.sinks.xmp import EMPTY_PACKET, XmpSidecarSink, merged, tags_of

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
VP = "{urn:visionpipe:xmp:1.0:}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"

LIGHTROOM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <!-- edited by hand -->
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about='uuid:1' xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmp:Rating="5"   crs:Note="a &gt; b&#xA;second">
   <crs:ToneCurve><rdf:Seq><rdf:li>0, 0</rdf:li></rdf:Seq></crs:ToneCurve>{}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
SUBJECT = "<dc:subject><rdf:Bag><rdf:li>holiday</rdf:li></rdf:Bag></dc:subject>"


def described(text: str) -> str:
    return (
        '<dc:description><rdf:Alt><rdf:li xml:lang="de">Ein Bild</rdf:li>'
        f'<rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>'
    )


def merge(
    packet: str, caption: str = "A cat.", *, tags: tuple[str, ...] = (), overwrite: bool = False
) -> str:
    return merged(packet.encode(), caption=caption, tags=tags, model="m", overwrite=overwrite).decode()


def tree(packet: str) -> ElementTree.Element:
    return ElementTree.fromstring(packet.encode())


def descriptions(packet: str) -> dict[str, str | None]:
    (found,) = tree(packet).iter(f"{DC}description")
    return {li.attrib[LANG]: li.text for li in found.iter(f"{RDF}li")}


def subjects(packet: str) -> list[str | None]:
    (found,) = tree(packet).iter(f"{DC}subject")
    return [li.text for li in found.iter(f"{RDF}li")]


def own(packet: str) -> list[str | None]:
    return [entry.text for entry in tree(packet).iter(f"{VP}caption")]


def test_a_sidecar_without_description_gets_one_and_keeps_every_byte() -> None:
    before = LIGHTROOM.format("")
    after = merge(before, "A cat & a <dog>.")
    assert descriptions(after) == {"x-default": "A cat & a <dog>."}
    start = after.index(" <rdf:Description xmlns:rdf=")
    block_end = after.index("</rdf:Description>\n ", start) + len("</rdf:Description>\n ")
    assert after[:start] + after[block_end:] == before
    assert 'rdf:about="uuid:1"' in after[start:block_end]


def test_somebody_elses_description_stays() -> None:
    after = merge(LIGHTROOM.format(described("Grandma in 1962")))
    assert descriptions(after) == {"de": "Ein Bild", "x-default": "Grandma in 1962"}
    assert own(after) == ["A cat."]


def test_it_gives_way_when_asked_to() -> None:
    after = merge(LIGHTROOM.format(described("Grandma in 1962")), overwrite=True)
    assert descriptions(after) == {"de": "Ein Bild", "x-default": "A cat."}


def test_a_description_of_our_own_is_renewed() -> None:
    after = merge(merge(LIGHTROOM.format("")), "Two cats.")
    assert descriptions(after) == {"x-default": "Two cats."}
    assert own(after) == ["Two cats."]
    assert merge(after, "Two cats.") == after


def test_it_is_known_again_after_another_program_wrote_it_in_short_form() -> None:
    short = LIGHTROOM.format(described("A cat.")).replace(
        'xmp:Rating="5"', 'xmlns:v="urn:visionpipe:xmp:1.0:" v:caption = "A cat."'
    )
    after = merge(short, 'Two "cats"\n& a dog.')
    assert descriptions(after)["x-default"] == 'Two "cats"\n& a dog.'
    (block, *_) = tree(after).iter(f"{RDF}Description")
    assert block.attrib[f"{VP}caption"] == 'Two "cats"\n& a dog.'


def test_a_description_in_other_languages_gains_a_default() -> None:
    only_german = described("x").replace('<rdf:li xml:lang="x-default">x</rdf:li>', "")
    assert descriptions(merge(LIGHTROOM.format(only_german))) == {"x-default": "A cat.", "de": "Ein Bild"}


@pytest.mark.parametrize(
    "empty", ["<dc:description/>", "<dc:description><rdf:Alt/></dc:description>", described(" ")]
)
def test_an_empty_description_is_filled(empty: str) -> None:
    assert descriptions(merge(LIGHTROOM.format(empty)))["x-default"] == "A cat."


def test_tags_are_added_to_those_there_are() -> None:
    assert subjects(merge(LIGHTROOM.format(SUBJECT), tags=("cat", "holiday", "a & b"))) == [
        "holiday",
        "cat",
        "a & b",
    ]
    assert subjects(merge(LIGHTROOM.format(""), tags=("cat",))) == ["cat"]
    assert subjects(merge(LIGHTROOM.format("<dc:subject/>"), tags=("cat",))) == ["cat"]
    again = merge(merge(LIGHTROOM.format(SUBJECT), tags=("cat",)), tags=("cat",))
    assert subjects(again) == ["holiday", "cat"]


def test_an_empty_rdf_element_is_filled() -> None:
    packet = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" />'
    assert descriptions(merge(packet)) == {"x-default": "A cat."}


def test_an_unusual_description_is_left_alone() -> None:
    plain = LIGHTROOM.format("<dc:description>plain</dc:description>")
    attribute = LIGHTROOM.format("").replace('xmp:Rating="5"', 'dc:description="plain"')
    for packet, reason in ((plain, "not a list of languages"), (attribute, "an attribute")):
        assert own(merge(packet)) == ["A cat."]
        with pytest.raises(ValueError, match=reason):
            merge(packet, overwrite=True)
    with pytest.raises(ValueError, match="dc:subject is not a list"):
        merge(LIGHTROOM.format("<dc:subject>plain</dc:subject>"), tags=("cat",))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"not xml",
        b"<a/>",
        LIGHTROOM.format("").encode("utf-16"),
        b'<!DOCTYPE a [<!ENTITY b "c">]><a/>',
        LIGHTROOM.format("").encode()[:-40],
    ],
)
def test_what_is_no_xmp_is_refused_and_left_as_it_is(packet: bytes, tmp_path: Path) -> None:
    target = tmp_path / "photos" / "cat.xmp"
    target.parent.mkdir()
    target.write_bytes(packet)
    written, (error,) = export([CAT], XmpSidecarSink(tmp_path))
    assert written == 0
    assert (error.code, error.scope) == ("bad_sidecar", "item")
    assert target.read_bytes() == packet


def test_tags_come_from_the_data() -> None:
    assert tags_of(SEA) == ("海", "船", "sky & sea")
    assert tags_of(CAT) == ()
    assert tags_of(replace(CAT, data={"tags": [" a ", "a", "", 3]})) == ("a",)
    assert tags_of(replace(CAT, data={"tags": "a"})) == ()


@settings(max_examples=100)
@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=8), max_size=4, unique=True))
def test_any_text_is_written_as_xml_that_can_be_read(caption: str, tags: list[str]) -> None:
    for packet in (EMPTY_PACKET.decode(), LIGHTROOM.format(described("mine") + SUBJECT)):
        after = merge(packet, caption, tags=tuple(tags))
        assert len(own(after)) == 1
        assert merge(after, caption, tags=tuple(tags)).count("vp:caption>") == 2
        if caption.isprintable():
            assert (own(after)[0] or "") == caption
