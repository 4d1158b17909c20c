"""However an answer with markup is cut into pieces, what is shown is the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.wire.markup import MarkupFilter, strip_markup


def shown(text: str, cuts: list[int]) -> str:
    found, begin, part = MarkupFilter(), 0, ""
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        part += found.feed(text[begin:cut])
        begin = cut
    return part + found.finish()


PLAIN = st.text(st.sampled_from("ab <>|/\n中"), max_size=12).filter(lambda t: "<a" not in t and "<|" not in t)


@given(think=PLAIN, answer=PLAIN, boxed=st.booleans(), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_cuts_make_no_difference(think: str, answer: str, boxed: bool, cuts: list[int]) -> None:
    inner = f"<|begin_of_box|>{answer}<|end_of_box|>" if boxed else answer
    text = f"<think>{think}</think>{inner}"
    assert shown(text, cuts).strip() == strip_markup(text).text.strip()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 < 4 and <b>bold</b>", "3 < 4 and <b>bold</b>"),
        ("an open <thi", "an open <thi"),
        ("<THINK>x</THINK>\n\nA cat.", "A cat."),
        ("<think>never closed", ""),
        ("<answer>A cat.</answer>", "A cat."),
        ("<thinking>x</thinking>A cat.", "A cat."),
        ("◁think▷x◁/think▷A ◁ cat.", "A ◁ cat."),
        (
            "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>A.<|return|>",
            "A.",
        ),
        ("A cat.<|im_end|>", "A cat."),
        ("A cat.</s>", "A cat."),
        ("<s>struck</s> and kept", "<s>struck</s> and kept"),
        ("a </s", "a </s"),
    ],
)
def test_what_is_no_tag_stays(text: str, answer: str) -> None:
    for cut in range(len(text)):
        assert shown(text, [cut]) == answer
