"""Takes a model's own markup out of its answer: thinking goes apart, answer and box tags are dropped.

The rule: no text is lost. What is taken out of the answer is in ``reasoning`` or, for the tags themselves,
in ``removed``; and taking out twice changes nothing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OPEN_THINK, CLOSE_THINK = "<think>", "</think>"
WRAPPERS = ("<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>")
_TAG = re.compile("|".join(re.escape(tag) for tag in (OPEN_THINK, CLOSE_THINK, *WRAPPERS)), re.IGNORECASE)
_OPEN_ANSWER = re.compile("<answer>", re.IGNORECASE)


class Stripped(NamedTuple):
    """An answer without markup.

    ``text`` is what the user asked for, ``removed`` the tags taken out, in order, and ``reasoning`` the
    thinking that stood between them.
    """

    text: str
    removed: tuple[str, ...]
    reasoning: str


def strip_markup(text: str) -> Stripped:
    """Part an answer from its think, answer and box tags.

    A ``<think>`` that is never closed takes all that follows, up to an ``<answer>`` if there is one. A
    ``</think>`` that was never opened (chat templates open it in the prompt) takes what stands before it,
    back to the last ``</think>``. Space around the answer is trimmed only where a tag was removed.

    Args:
        text: the answer as it came.
    """
    removed: list[str] = []
    reasoning: list[str] = []
    while True:
        tags = len(removed)
        text = _strip_once(text, removed, reasoning)
        # Taking a tag out can join its neighbours into another, so go on until nothing changes.
        if len(removed) == tags:
            break
        text = text.strip()
    return Stripped(text, tuple(removed), "\n".join(reasoning))


def _strip_once(text: str, removed: list[str], reasoning: list[str]) -> str:
    answer: list[str] = []
    since_think: list[str] = []
    thinking = False
    position = 0
    for tag in _TAG.finditer(text):
        name = tag.group().lower()
        if thinking and name != CLOSE_THINK:
            continue
        before = text[position : tag.start()]
        position = tag.end()
        removed.append(tag.group())
        if name == CLOSE_THINK:
            _keep("".join([*since_think, before]) if not thinking else before, reasoning)
            if thinking:
                answer += since_think
            since_think = []
            thinking = False
        else:
            since_think.append(before)
            thinking = name == OPEN_THINK
    rest = text[position:]
    if thinking:
        opened = _OPEN_ANSWER.search(rest)
        start = opened.start() if opened else len(rest)
        _keep(rest[:start], reasoning)
        rest = rest[start:]
    since_think.append(rest)
    return "".join([*answer, *since_think])


def _keep(thought: str, reasoning: list[str]) -> None:
    if thought.strip():
        reasoning.append(thought.strip())
