"""The whole clip in a few sentences: the spans' words, brought together within the model's context.

The rule: what is too long for one request is summed up in groups first, and the groups after that; a clip
of one span needs no request, and the embedded engine's words are put together without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visionpipe.reply import Reply
from visionpipe.video.asking import Asker
from visionpipe.video.timeline import Span
from visionpipe.video.wording import Language, about_scenes

_NAMED = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """The text, and the requests it took."""

    text: str
    replies: tuple[Reply, ...] = ()


def summarise(spans: Sequence[Span], ask: Asker, *, language: Language, max_characters: int) -> Summary:
    """Sums up the spans that have words.

    Args:
        spans: in order.
        ask: asked with texts only.
        language: of the prompt.
        max_characters: descriptions that one request may hold, in characters.

    Raises:
        VisionPipeError: whatever ``ask`` raises.
    """
    told = [span for span in spans if span.text]
    if not told:
        return Summary("")
    if len(told) == 1:
        return Summary(told[0].text)
    if all(span.local for span in told):
        return Summary(_composed(told, language))
    lines = [f"{span.start} - {span.end}: {span.text}" for span in told]
    replies: list[Reply] = []
    while True:
        groups = _grouped(lines, max_characters)
        answers = [ask(about_scenes(group, language), ()) for group in groups]
        replies += answers
        shorter = [answer.text.strip() for answer in answers]
        # Where not even two lines fit together, another round would not bring them closer.
        if len(groups) == 1 or len(groups) == len(lines):
            return Summary("\n".join(shorter), tuple(replies))
        lines = shorter


def _grouped(lines: Sequence[str], max_characters: int) -> list[list[str]]:
    """Runs of lines, each within the limit (or a single line)."""
    groups: list[list[str]] = []
    size = 0
    for line in lines:
        if groups and size + len(line) <= max_characters:
            groups[-1].append(line)
            size += len(line)
        else:
            groups.append([line])
            size = len(line)
    return groups


def _composed(spans: Sequence[Span], language: Language) -> str:
    """The different things said, each once, in order."""
    texts = list(dict.fromkeys(span.text.strip() for span in spans))
    named, rest = texts[:_NAMED], len(texts) - _NAMED
    if language == "zh":
        more = f"另有 {rest} 种描述。" if rest > 0 else ""
        return f"共 {len(spans)} 段：{''.join(named)}{more}"
    more = f" And {rest} more." if rest > 0 else ""
    return f"{len(spans)} spans: {' '.join(named)}{more}"
