"""An answer as the plain text that trainers and people read: one clean line.

Taken off, each with a note: code fences, Markdown, an opening such as "Here is a caption:", quotation marks
around the whole, and line ends. Structured data is put into words: a list of tags as ``cat, orange fur``, the
data of a preset by its telling field. What has none of these comes out as it went in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from visionpipe.prompts.presets import Preset
from visionpipe.values import JSON, Note

_FENCE = re.compile(r"^\s*```[^\n`]*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_BULLET = re.compile(r"^\s{0,8}(?:[-*+\u2022]|\d{1,3}[.)\u3001])\s+(?=\S)")
_DASH = re.compile(r"^\s{0,8}[-*\u2022]\s+(?=\S)")  # a line alone that begins with a number is no list
_MARKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE), r"\1"),
    (re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)"), r"\1"),
    (re.compile(r"(?<![*\w])(\*{1,3})(?=[^\s*])([^*\n]*?[^\s*])\1(?![*\w])"), r"\2"),
    (re.compile(r"(?<![_\w])(_{2,3})(?=[^\s_])([^_\n]*? [^_\n]*?[^\s_])\1(?![_\w])"), r"\2"),
    (re.compile(r"(?<!`)(`{1,2})(?=[^`\s])([^`\n]*?[^`\s])\1(?!`)"), r"\2"),
    (re.compile(r"^\s{0,3}(?:-{3,}|\*{3,}|_{3,})\s*$", re.MULTILINE), ""),
    (re.compile(r"^\s{0,3}>\s?", re.MULTILINE), ""),
)
_WHAT = (
    r"(?:captions?|descriptions?|alt(?:ernative)?[ -]texts?|tags|keywords|titles?|transcriptions?"
    r"|summary|answer)"
)
_OPENING = re.compile(
    r"\A\s*(?:(?:sure(?: thing)?|certainly|of course|absolutely|ok(?:ay)?|great)\b[,.!]*\s+)?"
    r"(?:(?:here(?:'s|\u2019s| is| are)|this is|below (?:is|are)|the following (?:is|are))\b[^:\n.]{0,80}?\b"
    + _WHAT
    + r"\b[^:\n.]{0,60}:|(?:image |photo |picture |the )?"
    + _WHAT
    + r"\s*:)\s*(?=\S)",
    re.IGNORECASE,
)
_OPENING_ZH = re.compile(
    r"\A\s*(?:好的|当然|可以)?[，,。！! ]*(?:(?:以下|这|下面)是[^：:\n。]{0,40}?)?"
    r"(?:图片|图像|照片)?的?(?:说明|描述|标题|标签|关键词|替代文字|文字说明)(?:如下)?\s*[：:]\s*(?=\S)"
)
_QUOTES = (('"', '"'), ("\u201c", "\u201d"), ("\u300c", "\u300d"))


@dataclass(frozen=True, slots=True)
class TextForm:
    """How answers become text.

    Attributes:
        prefix, suffix: put before and after every text, exactly as they are.
        layout: keep lines and Markdown, which are part of a transcription.
        field: of structured data, the property that says it in words; None: the answer's own words.
        parts: of an answer to several presets, the name and the form of each.
    """

    prefix: str = ""
    suffix: str = ""
    layout: bool = False
    field: str | None = None
    parts: tuple[tuple[str, TextForm], ...] = ()


def form_of(prompt: object, prefix: str = "", suffix: str = "") -> TextForm:
    """How the answers to a prompt become text.

    Args:
        prompt: a preset, or what else is asked.
        prefix, suffix: put before and after every text.
    """
    if not isinstance(prompt, Preset):
        return TextForm(prefix, suffix)
    parts = tuple((part.name, form_of(part)) for part in prompt.parts)
    return TextForm(prefix, suffix, prompt.checks.markdown, prompt.text_field, parts)


PLAIN = TextForm()
"""One line, with nothing before or after it."""


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text, and a note for each kind of thing that was taken off."""

    text: str
    notes: tuple[Note, ...] = ()


def plain_text(answer: str, data: JSON = None, form: TextForm = PLAIN) -> PlainText:
    """The text of an answer.

    Args:
        answer: as the model gave it.
        data: structured data in it, where a schema was asked for.
        form: what it shall look like.
    """
    if form.parts:
        return _joined_parts(data, form)
    notes: list[Note] = []
    said = _said(data, form.field) if form.field is not None else None
    if said is None:
        said = answer
        if not form.layout:
            said = _cleaned(answer, notes)
    elif not form.layout:
        said = " ".join(said.split())
    if form.layout:
        return PlainText(f"{form.prefix}{said.strip()}{form.suffix}")
    return PlainText(f"{form.prefix}{said}{form.suffix}", tuple(notes))


def part_texts(data: JSON, form: TextForm) -> dict[str, PlainText]:
    """The text of each part that an answer to several presets has, by name; empty where ``form`` has no
    parts."""
    found = data if isinstance(data, dict) else {}
    return {
        name: text_of_part(value, part) for name, part in form.parts if (value := found.get(name)) is not None
    }


def text_of_part(value: JSON, form: TextForm) -> PlainText:
    """The text of one part's answer, which is a text itself or the data of its schema."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return plain_text(said, value, form)


def _joined_parts(data: JSON, form: TextForm) -> PlainText:
    """All parts in one text: a line where each of them is one, else a paragraph each."""
    texts = list(part_texts(data, form).values())
    layout = any(part.layout for _, part in form.parts)
    said = ""
    for text in filter(None, (one.text for one in texts)):
        between = "\n\n" if layout else separator(said)
        said = f"{said}{between}{text}" if said else text
    notes = {note.kind: note for one in texts for note in one.notes}
    return PlainText(f"{form.prefix}{said}{form.suffix}", tuple(notes.values()))


def separator(text: str) -> str:
    """What stands behind a text and before another: a comma where it is no sentence but tags."""
    return " " if text.rstrip().endswith((".", "!", "?", "\u3002", "\uff01", "\uff1f")) else ", "


def _cleaned(answer: str, notes: list[Note]) -> str:
    text, before = answer.strip(), ""
    while text != before:
        before = text
        fenced = _FENCE.match(text)
        if fenced is not None:
            text = _noted(notes, "markdown_removed", "a code fence", fenced.group(1).strip())
        listed = _listed(text)
        if listed is not None:
            return _noted(notes, "list_joined", "a list in JSON", listed)
        unmarked = _unmarked(text)
        if unmarked != text:
            text = _noted(notes, "markdown_removed", "Markdown", unmarked)
        opened = _OPENING_ZH.sub("", _OPENING.sub("", text, count=1), count=1).strip()
        if opened != text:
            text = _noted(notes, "preamble_removed", text[: len(text) - len(opened)].strip(), opened)
    for opening, closing in _QUOTES:
        inner = text[1:-1]
        if len(text) > 2 and text[0] + text[-1] == opening + closing and not {opening, closing} & set(inner):
            text = _noted(notes, "quotes_removed", "quotation marks", inner.strip())
    lines = [line for line in text.splitlines() if line.strip()]
    bullet = _BULLET if len(lines) > 1 else _DASH
    if lines and all(bullet.match(line) for line in lines):
        items = (_BULLET.sub("", line).strip() for line in lines)
        return _noted(notes, "list_joined", f"{len(lines)} lines", _joined(items))
    if len(lines) > 1:
        _noted(notes, "lines_joined", f"{len(lines)} lines", text)
    return " ".join(text.split())


def _unmarked(text: str) -> str:
    """The text without Markdown, but for lists."""
    for mark, instead in _MARKS:
        text = mark.sub(instead, text)
    return text.strip()


def _noted(notes: list[Note], kind: str, detail: str, text: str) -> str:
    if all(note.kind != kind for note in notes):
        notes.append(Note(kind, detail))
    return text


def _listed(text: str) -> str | None:
    """The items of a list of texts in JSON, or of the only one in an object; None where it is no such."""
    if text[:1] not in ("[", "{"):
        return None
    try:
        return _said(json.loads(text), None)
    except (ValueError, RecursionError):
        return None


def _said(data: JSON, field: str | None) -> str | None:
    """Structured data in words; None where it has none that say all of it."""
    if isinstance(data, dict):
        if field is not None:
            data = data.get(field)
        elif "tags" in data or len(data) == 1:
            data = data.get("tags") if "tags" in data else next(iter(data.values()))
        else:
            return None
    if isinstance(data, str):
        return data
    if isinstance(data, list) and all(isinstance(item, str) for item in data):
        return _joined(item for item in data if isinstance(item, str))
    return None


def _joined(items: Iterable[str]) -> str:
    """The items with commas between them, each once, none of them empty."""
    trimmed = (" ".join(item.split()).strip(" ,;") for item in items)
    return ", ".join(dict.fromkeys(item for item in trimmed if item))
