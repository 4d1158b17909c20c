"""What a video model says is sorted to the container's spans."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.values import Timecode
from visionpipe.video.spans import SpanPlan
from visionpipe.video.whole import read_answer

BASE = Fraction(1, 10)
SPANS = [
    SpanPlan(i, i, Timecode(a, BASE), Timecode(b, BASE))
    for i, (a, b) in enumerate([(0, 30), (30, 70), (70, 100)])
]


def test_numbered_lines() -> None:
    read = read_answer(
        "1: A rabbit sleeps.\n\n**2.** It wakes.\n- Scene 3: It walks off.\n场景4：没有", SPANS
    )
    assert read.texts == {0: "A rabbit sleeps.", 1: "It wakes.", 2: "It walks off."}
    assert [note.kind for note in read.general] == ["no_such_scene"]


@pytest.mark.parametrize(
    "line, spans",
    [
        ("0:00 - 0:03 A rabbit.", [0]),
        ("[00:02.6–00:06.8] A rabbit.", [1]),
        ("0:00:00 to 0:00:10: A rabbit.", [0, 1, 2]),
        ("3.2s - 9.9s: A rabbit.", [1, 2]),
        ("0:04 A rabbit.", [1]),
        ("**00:04-00:05**: A rabbit.", [1]),
        ("0:09 --> 0:10.5 A rabbit.", [2]),
    ],
)
def test_times_are_snapped_and_marked(line: str, spans: list[int]) -> None:
    read = read_answer(line, SPANS)
    assert read.texts == dict.fromkeys(spans, "A rabbit.")
    assert all(read.notes[i][0].kind == "time_snapped" for i in spans)


@pytest.mark.parametrize("line", ["0:11 - 0:12 A rabbit.", "0:08 - 0:20 A rabbit.", "0:05 - 0:02 A rabbit."])
def test_times_that_cannot_be_are_left_out_and_noted(line: str) -> None:
    read = read_answer(line, SPANS)
    assert read.texts == {}
    assert [note.kind for note in read.general] == ["time_outside_clip"]


def test_a_part_is_told_in_its_own_time() -> None:
    read = read_answer("0:00-0:03 A rabbit.", SPANS[2:], Fraction(7))
    assert read.texts == {2: "A rabbit."}


@given(st.text(max_size=200))
def test_no_answer_is_too_odd(answer: str) -> None:
    read = read_answer(answer, SPANS)
    assert set(read.texts) <= {0, 1, 2}
