"""A model's markup is taken out of its answer, and no text with it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.wire.markup import CLOSERS, LAST, OPENERS, WRAPPERS, strip_markup

BOX, END_BOX = "<|begin_of_box|>", "<|end_of_box|>"


@pytest.mark.parametrize(
    ("raw", "text", "reasoning"),
    [
        ("A cat.", "A cat.", ""),
        ("  A cat. \n", "  A cat. \n", ""),
        ("<think>It is furry.</think>\nA cat.", "A cat.", "It is furry."),
        ("<think></think>A cat.", "A cat.", ""),
        ("<think>a</think><answer>A cat.</answer>", "A cat.", "a"),
        (f"{BOX}42{END_BOX}", "42", ""),
        (f"The answer is {BOX}42{END_BOX}, of course.", "The answer is 42, of course.", ""),
        ("<THINK>a</Think>A cat.", "A cat.", "a"),
        ("<think>It goes on and on", "", "It goes on and on"),
        ("A cat.<think>Was it?", "A cat.", "Was it?"),
        ("<think>It is furry.<answer>A cat.</answer>", "A cat.", "It is furry."),
        ("It is furry.</think>A cat.", "A cat.", "It is furry."),
        ("<think>a</think>b</think>A cat.", "A cat.", "a\nb"),
        ("Start <think>a</think> end", "Start  end", "a"),
        ("<think>a<think>b</think>A cat.", "A cat.", "a<think>b"),
        ("<ans<answer>wer>A cat.", "A cat.", ""),
        ("Is 3 < 4 > 2? <b>yes</b>", "Is 3 < 4 > 2? <b>yes</b>", ""),
        ("<thinking>It is furry.</thinking>A cat.", "A cat.", "It is furry."),
        ("It is furry.</thinking>\nA cat.", "A cat.", "It is furry."),
        ("<thinking>a</think>b</thinking>A cat.", "A cat.", "a</think>b"),
        ("◁think▷It is furry.◁/think▷A cat.", "A cat.", "It is furry."),
        ("A sign ◁ left ▷ right", "A sign ◁ left ▷ right", ""),
        (
            "<|channel|>analysis<|message|>It is furry.<|end|><|start|>assistant"
            "<|channel|>final<|message|>A cat.<|return|>",
            "A cat.",
            "It is furry.",
        ),
        ("<|channel|>analysis<|message|>Furry.<|channel|>final<|message|>A cat.", "A cat.", "Furry."),
        ("<|channel|>final<|message|>A cat.", "A cat.", ""),
        ("A cat.<|im_end|>", "A cat.", ""),
        ("A cat.<|endoftext|>\n", "A cat.", ""),
        ("A cat.</s>", "A cat.", ""),
        ("A cat.</s>\n</s> ", "A cat.", ""),
        ("<s>struck</s> and kept", "<s>struck</s> and kept", ""),
    ],
)
def test_parting(raw: str, text: str, reasoning: str) -> None:
    stripped = strip_markup(raw)
    assert (stripped.text, stripped.reasoning) == (text, reasoning)


def test_the_tags_taken_out_are_named_in_order() -> None:
    assert strip_markup(f"<think>a</think>{BOX}b{END_BOX}").removed == ("<think>", "</think>", BOX, END_BOX)
    assert strip_markup("A cat.").removed == ()


pieces = st.one_of(
    st.sampled_from([*OPENERS, *CLOSERS, *WRAPPERS, LAST, "<", ">", "<th", "ink>", "</", "<|", "◁", "s>"]),
    st.text(alphabet="ab 猫\n", max_size=6),
)
answers = st.lists(pieces, max_size=14).map("".join)


@given(answers)
def test_taking_out_twice_changes_nothing(raw: str) -> None:
    once = strip_markup(raw)
    again = strip_markup(once.text)
    assert again.text == once.text
    assert again.removed == ()


@given(answers)
def test_no_character_is_lost(raw: str) -> None:
    stripped = strip_markup(raw)
    kept = Counter("".join([stripped.text, stripped.reasoning, *stripped.removed]))
    given_in = Counter(raw)
    for space in " \n":
        del kept[space], given_in[space]
    assert kept == given_in


words = st.text(alphabet="abc猫", min_size=1, max_size=8)


@given(st.lists(st.tuples(st.booleans(), words), min_size=1, max_size=8))
def test_text_outside_the_tags_stays_and_text_inside_is_reasoning(parts: list[tuple[bool, str]]) -> None:
    raw = "".join(f"<think>{word}</think>" if thought else word for thought, word in parts)
    stripped = strip_markup(raw)
    assert stripped.text == "".join(word for thought, word in parts if not thought)
    assert stripped.reasoning == "\n".join(word for thought, word in parts if thought)


def test_letters_that_grow_in_lower_case_do_not_shift_the_answer() -> None:
    stripped = strip_markup("<think>İİ, perhaps. <ANSWER>A cat.")
    assert (stripped.text, stripped.reasoning) == ("A cat.", "İİ, perhaps.")
