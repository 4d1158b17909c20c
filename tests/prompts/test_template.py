"""Templates fill in what an item has, and say what it has not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import ParameterError
from visionpipe.prompts.template import Template, item_fields


def fill(text: str, **fields: str) -> str:
    return Template(text).fill(fields, item="a.jpg")


def test_fields_of_the_path() -> None:
    fields = item_fields("photos/summer trip/IMG_1.final.jpg")
    text = "{path.stem} {path.name} {path.suffix} {path.parent} {path.folder} {path.full}"
    assert Template(text).fill(fields, item="x") == (
        "IMG_1.final IMG_1.final.jpg .jpg photos/summer trip summer trip photos/summer trip/IMG_1.final.jpg"
    )


def test_fields_of_a_url_leave_the_query_out() -> None:
    fields = item_fields("https://example.org/p/big%20cat.png?size=2#top")
    assert fields["path.name"] == "big cat.png"
    assert fields["path.folder"] == "p"


def test_exif_sidecars_and_columns() -> None:
    fields = item_fields(
        "a.jpg",
        exif={"DateTimeOriginal": "2024:05:01 12:00:00"},
        sidecar={"tags": ["sea", "sand"], "indoor": False, "n": 3, "who": {"name": "Ann"}, "gone": None},
        columns={"product: name": "Mug", "price": "3 €"},
    )
    text = "{exif.DateTimeOriginal}|{sidecar.tags}|{sidecar.indoor}|{sidecar.n}|{sidecar.who}|{product: name}"
    assert Template(text).fill(fields, item="a.jpg") == "2024:05:01 12:00:00|sea, sand|no|3|name: Ann|Mug"
    assert fields["sidecar.gone"] == ""
    assert item_fields("a.jpg", sidecar=" two dogs\n")["sidecar"] == "two dogs"


def test_a_missing_field_names_the_field_the_item_and_what_there_is() -> None:
    with pytest.raises(ParameterError) as caught:
        Template("A {prodct}").fill(item_fields("b/c.jpg", columns={"product": "Mug"}), item="b/c.jpg")
    assert caught.value.code == "missing_field"
    message = str(caught.value)
    assert message.startswith("b/c.jpg: the template's field {prodct} is missing. Did you mean {product}?")
    assert "path.stem" in message


def test_a_blank_field_is_not_passed_over() -> None:
    with pytest.raises(ParameterError, match=r"\{title\} is blank"):
        fill("A {title}.", title="  ")
    with pytest.raises(ParameterError, match="no fields"):
        fill("A {title}.")


def test_a_text_to_use_instead() -> None:
    assert fill("By {exif.Artist|somebody}.") == "By somebody."
    assert fill("By {artist|}.") == "By ."
    assert fill("By {artist|somebody}.", artist="Ann") == "By Ann."


def test_braces_and_field_names() -> None:
    template = Template('{{"a": "{b}"}} {c.d} {b}')
    assert template.fields == ("b", "c.d")
    assert template.fill({"b": "{c.d}", "c.d": "x"}, item="i") == '{"a": "{c.d}"} x {c.d}'


@pytest.mark.parametrize("text", ["{", "a } b", "{a", "{a{b}}", "{a\nb}"])
def test_a_lonely_brace_is_an_error(text: str) -> None:
    with pytest.raises(ParameterError, match="a single"):
        Template(text)


@pytest.mark.parametrize("text", ["{}", "{ }", "{|x}"])
def test_a_field_needs_a_name(text: str) -> None:
    with pytest.raises(ParameterError, match="without a name"):
        Template(text)


@pytest.mark.parametrize("name", ["a.__class__", "a[0]", "a!r", "0.__init__.__globals__"])
def test_nothing_reaches_into_objects(name: str) -> None:
    with pytest.raises(ParameterError, match="is missing"):
        fill(f"{{{name}}}", a="text")
    assert Template(f"{{{name}}}").fill({name: "only a key"}, item="i") == "only a key"


def test_a_column_cannot_hide_another_field() -> None:
    with pytest.raises(ParameterError, match="Rename the column"):
        item_fields("a.jpg", columns={"path.stem": "x"})


@given(st.text())
def test_any_text_can_be_written_with_doubled_braces(text: str) -> None:
    assert fill(text.replace("{", "{{").replace("}", "}}")) == text


@given(st.text(min_size=1).filter(lambda value: value.strip()))
def test_a_value_arrives_as_it_is(value: str) -> None:
    assert fill("<{a}>", a=value) == f"<{value}>"
