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


@pytest.mark.parametrize(
    "answer",
    [
        "Scene 1 (0:00-0:03): A rabbit sleeps.\nScene 2 (0:03 - 0:07): It wakes.\nScene 3 (7s-10s): It goes.",
        "### Scene 1\nA rabbit sleeps.\n\n### Scene 2\n\nIt wakes.\n\n### Scene 3\nIt goes.",
        "**Scene 1:** A rabbit sleeps.\n**Scene 2:** It wakes.\n**Scene 3:** It goes.",
        "| Scene | Time | Description |\n|---|---|---|\n| 1 | 0:00-0:03 | A rabbit sleeps. |\n"
        "| 2 | 0:03-0:07 | It wakes. |\n| Scene 3 | 0:07-0:10 | It goes. |",
        "第1个场景：A rabbit sleeps.\n第2个场景：It wakes.\n第3个场景：It goes.",
        "第一个场景：A rabbit sleeps.\n第二个场景（0:03-0:07）：It wakes.\n场景三：It goes.",
        "Here are the scenes:\n1. **0:00-0:03**: A rabbit sleeps.\n2. 0:03-0:07: It wakes.\n3. It goes.",
        "1 (0:00-0:03): A rabbit\nsleeps.\n2: It\n   wakes.\n3) It goes.",
        "- Shot 1 - A rabbit sleeps.\n- Shot 2 – It wakes.\n- Shot 3 — It goes.",
    ],
)
def test_answers_are_read_in_the_forms_that_models_use(answer: str) -> None:
    read = read_answer(answer, SPANS)
    assert read.texts == {0: "A rabbit sleeps.", 1: "It wakes.", 2: "It goes."}
    assert read.general == ()


def test_what_is_not_read_is_said() -> None:
    read = read_answer("1: A rabbit.\n\nOverall, a calm clip.\n2: It wakes.\n9: A bear.\nIt growls.", SPANS)
    assert read.texts == {0: "A rabbit.", 1: "It wakes."}
    assert [note.kind for note in read.general] == ["no_such_scene", "unread"]
    assert "Overall, a calm clip." in read.general[1].detail
    assert "growls" not in read.general[1].detail


def test_an_answer_without_scenes_is_said() -> None:
    read = read_answer("A rabbit sleeps, wakes and goes.", SPANS)
    assert read.texts == {}
    assert [note.kind for note in read.general] == ["unread"]


@given(st.text(alphabet="|#* \n:：1234第个场景一二十Scene (0:03)-.a", max_size=120))
def test_no_answer_of_that_look_is_too_odd(answer: str) -> None:
    read = read_answer(answer, SPANS)
    assert set(read.texts) <= {0, 1, 2}
    assert all(read.texts.values())


@given(st.text(max_size=200))
def test_no_answer_is_too_odd(answer: str) -> None:
    read = read_answer(answer, SPANS)
    assert set(read.texts) <= {0, 1, 2}
