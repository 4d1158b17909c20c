"""A model's own markup taken out of its answer, whole or while it arrives.

No text is lost. What is taken out of the answer is in ``reasoning`` or, for the tags themselves,
in ``removed``; and taking out twice changes nothing.

Nothing is shown that would have to be taken back, save what stands before a ``</think>`` that
was never opened: it has been shown by then. A tag cut in two by a chunk's end is held back until it is whole.
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


_TAGS = (OPEN_THINK, CLOSE_THINK, *WRAPPERS)


class MarkupFilter:
    """Takes the pieces of an answer as they come and gives back what is answer in them."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._begun = False

    def feed(self, piece: str) -> str:
        """The part of the text so far that can be shown now; may be empty."""
        return self._shown(self._held + piece, last=False)

    def finish(self) -> str:
        """What was held back as the beginning of a tag and is none."""
        return self._shown(self._held, last=True)

    def _shown(self, text: str, *, last: bool) -> str:
        out: list[str] = []
        while text:
            at = text.find("<")
            if at < 0:
                out.append("" if self._thinking else text)
                text = ""
                break
            out.append("" if self._thinking else text[:at])
            text = text[at:]
            low = text.lower()
            tag = next((tag for tag in _TAGS if low.startswith(tag)), None)
            if tag is not None:
                self._thinking = tag == OPEN_THINK or (self._thinking and tag != CLOSE_THINK)
                text = text[len(tag) :]
            elif not last and any(tag.startswith(low) for tag in _TAGS):
                break
            else:
                out.append("" if self._thinking else "<")
                text = text[1:]
        self._held = text
        shown = "".join(out)
        if not self._begun:
            # After a leading think block comes the line break that parted it from the answer.
            shown = shown.lstrip()
            self._begun = bool(shown)
        return shown
