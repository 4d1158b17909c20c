"""Small values add up, print and survive JSON as they promise."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.answering import Scripted, folder_of
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.reply import Reply
from visionpipe.results import ItemResult, Outcome
from visionpipe.testing.images import png_bytes
from visionpipe.values import Adjustment, Money, Note, Timecode, Usage
from visionpipe.video.timeline import Timeline

counts = st.integers(0, 10**9)
usages = st.builds(Usage, counts, counts, counts, counts)
bases = st.builds(Fraction, st.integers(1, 1001), st.integers(1, 90_000))
moments = st.builds(Timecode, st.integers(-(10**9), 10**9), bases)


@given(usages, usages)
def test_usages_add_up(one: Usage, two: Usage) -> None:
    both = one + two
    assert both.total_tokens == one.total_tokens + two.total_tokens
    told = both.to_json()
    assert told == {
        "prompt_tokens": one.prompt_tokens + two.prompt_tokens,
        "completion_tokens": one.completion_tokens + two.completion_tokens,
        "total_tokens": both.total_tokens,
        "cached_tokens": one.cached_tokens + two.cached_tokens,
        "reasoning_tokens": one.reasoning_tokens + two.reasoning_tokens,
    }


def test_amounts_of_one_currency_are_added_and_of_two_are_not() -> None:
    tenth = Money(Decimal("0.10"), "CNY")
    assert tenth + Money(Decimal("0.2"), "CNY") == Money(Decimal("0.3"), "CNY")
    with pytest.raises(ValueError, match="cannot add USD to CNY"):
        tenth + Money(Decimal(1), "USD")


@pytest.mark.parametrize(
    ("amount", "written"), [("0.10", "0.1"), ("1E+3", "1000"), ("0.000000107", "0.000000107"), ("0", "0")]
)
def test_an_amount_is_written_without_exponent(amount: str, written: str) -> None:
    money = Money(Decimal(amount), "CNY")
    assert str(money) == f"{written} CNY"
    assert money.to_json() == {"amount": written, "currency": "CNY"}


def test_what_was_changed_is_one_line() -> None:
    change = Adjustment("resized", "a.jpg", "80x60 -> 40x30")
    assert str(change) == "a.jpg: resized, 80x60 -> 40x30"
    assert change.to_json() == {"kind": "resized", "subject": "a.jpg", "detail": "80x60 -> 40x30"}
    assert Note("truncated", "cut off").to_json() == {"kind": "truncated", "detail": "cut off"}


@given(moments, moments)
def test_moments_compare_by_what_they_mean(one: Timecode, two: Timecode) -> None:
    assert (one == two) == (one.exact == two.exact)
    assert (one < two) == (one.exact < two.exact)
    assert (one <= two) == (one.exact <= two.exact)
    assert (one > two) == (one.exact > two.exact)
    assert (one >= two) == (one.exact >= two.exact)
    finer = Timecode(one.pts * 2, one.time_base / 2)
    assert finer == one
    assert hash(finer) == hash(one)


def test_a_moment_is_no_number() -> None:
    assert Timecode(1, Fraction(1)) != 1


@given(moments)
def test_a_moment_survives_json(moment: Timecode) -> None:
    told = orjson.loads(orjson.dumps(moment.to_json()))
    again = Timecode.from_json(told)
    assert (again.pts, again.time_base) == (moment.pts, moment.time_base)
    assert told["seconds"] == pytest.approx(moment.seconds, abs=1e-6)


@given(st.fractions(-1000, 1000, max_denominator=10**6), bases)
def test_the_tick_at_or_just_before(seconds: Fraction, base: Fraction) -> None:
    tick = Timecode.at(seconds, base)
    assert 0 <= seconds - tick.exact < base


@pytest.mark.parametrize(
    ("pts", "written"),
    [(0, "0:00:00.000"), (62_345, "0:01:02.345"), (-1500, "-0:00:01.500"), (36_000_001, "10:00:00.001")],
)
def test_a_moment_as_text(pts: int, written: str) -> None:
    assert str(Timecode(pts, Fraction(1, 1000))) == written


def test_a_record_of_another_shape_is_refused() -> None:
    with pytest.raises(KeyError):
        Timecode.from_json({"pts": 1})
    with pytest.raises(ValueError, match="often"):
        Timecode.from_json({"pts": 1, "time_base": "often"})


SAMPLES = Path(__file__).parent.parent / "samples"
SAID = "<b>A cat</b>"
NOTES = (Note("refusal", "<script>"),)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            Reply(SAID, "glm-4.6v", Usage(7, 3), Money(Decimal("0.5"), "CNY"), notes=NOTES),
            ("glm-4.6v", "0.5 CNY", "10 tokens", "refusal: &lt;script&gt;"),
        ),
        (
            ItemResult("a&b.jpg", Outcome.DONE, SAID, local=True, notes=NOTES),
            ("a&amp;b.jpg", "done", "local analysis", "refusal: &lt;script&gt;"),
        ),
        (
            Timeline("c.mp4", Timecode.at(2, Fraction(1, 10)), (), SAID, "glm-4.6v", notes=NOTES),
            ("c.mp4", "0:00:02.000", "refusal: &lt;script&gt;"),
        ),
    ],
)
def test_a_notebook_shows_words_cost_and_notes_and_runs_nothing(value: Any, shown: tuple[str, ...]) -> None:
    html = value._repr_html_()
    assert "&lt;b&gt;A cat&lt;/b&gt;" in html
    assert "<script" not in html
    for text in shown:
        assert text in html


def test_a_notebook_shows_a_plan_by_its_fates(tmp_path: Path) -> None:
    images = folder_of(tmp_path, one="1", two="2")
    plan = Pipeline("What?", answerer=Scripted(cost=Money(Decimal("0.25"), "CNY")), model="m").plan(images)
    assert "Not gone through yet" in plan._repr_html_()
    list(plan)
    html = plan._repr_html_()
    assert "2 items" in html
    assert "0.5 CNY · 220 tokens" in html


def test_a_notebook_shows_small_copies_of_files_and_follows_no_address(tmp_path: Path) -> None:
    odd = tmp_path / '"><b>.png'
    odd.write_bytes(png_bytes(4000, 30))
    clip = SAMPLES / "bigbuckbunny.mp4"
    names = (str(odd), str(clip), "https://127.0.0.1:9/a.png", str(tmp_path / "gone.png"), "\0")
    html = Reply("Text", "m", images=names)._repr_html_()
    assert html.count("<img ") == 2
    assert 'alt="&quot;&gt;&lt;b&gt;.png"' in html and "<b>" not in html
    assert 'alt="bigbuckbunny.mp4"' in html and "data:image/jpeg;base64," in html
    assert len(html) < 2 * 45_000
    result = ItemResult(odd.name, Outcome.DONE, "Text", folder=str(tmp_path))
    assert "<img " in result._repr_html_() and "folder" not in result.to_json()
