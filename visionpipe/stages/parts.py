"""Answers to several presets that are asked in one request (``together``).

The answer's data has a key for each of them. It is asked for as one JSON document, and read as models write
it: with keys in other case, a list inside an object of its own, or as lines such as ``Tags: cat, fur``. What
is not there is null, and told by a note; an answer with nothing of what was asked is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from visionpipe.prompts.presets import Language, Preset, part_property
from visionpipe.stages.extraction import Schema
from visionpipe.stages.plain_text import form_of, text_of_part
from visionpipe.stages.quality import assess
from visionpipe.stages.schema import MisfitError
from visionpipe.values import JSON, Note
from visionpipe.wire.tolerant_json import Spoiled, read_documents, unfenced

PART_MISSING = "part_missing"
"""The kind of the note on an answer that leaves one of its presets out."""

_LABEL = r"^[ \t]*(?:[-*+#>]+[ \t]*|\d{1,2}[.)][ \t]*)?[*_\"'`]*(%s)[*_\"'`]*[ \t]*[:\uff1a][*_]*"
_PIECES = re.compile(r"[,;\n\u3001\uff0c\uff1b]")
_AROUND = " \t\r\"'`*[]()"
_BULLET = re.compile(r"^(?:[-*+\u2022]|\d{1,3}[.)])\s+")


class PartsSchema(Schema[Any]):
    """The schema of a preset with parts.

    Args:
        preset: made by ``together``.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset.schema)
        self._preset = preset
        self._parts: dict[str, Schema[Any]] = {
            part.name: Schema(self.json_schema["properties"][part.name]) for part in preset.parts
        }
        labels = "|".join(re.escape(name).replace("_", "[ _-]?") for name in self._parts)
        self._label = re.compile(_LABEL % labels, re.IGNORECASE | re.MULTILINE)

    def read(self, text: str, *, cut_off: bool = False) -> tuple[Any, Any]:
        """As ``Schema.read``; a part that is missing, blank or does not fit is None.

        Raises:
            MisfitError: no part is there.
        """
        documents = read_documents(text)
        if documents and isinstance(documents[-1], Spoiled):
            # Nothing inside a broken document is taken for an answer.
            return super().read(text, cut_off=cut_off)
        if len(documents) == 1 and isinstance(documents[0], list):
            documents = documents[0] or documents
        objects = [found for found in documents if isinstance(found, dict)]
        plain = unfenced(text).strip()
        if objects:
            said = objects[-1]
        else:
            said = {} if cut_off or plain[:1] in ("{", "[") else dict(self._labelled(plain))
        keys = {_plain_key(key): value for key, value in said.items() if isinstance(key, str)}
        data = {part.name: self._value(part, keys.get(_plain_key(part.name))) for part in self._preset.parts}
        if all(value is None for value in data.values()):
            return super().read(text, cut_off=cut_off)
        return data, data

    def words(self, data: Any, text: str) -> str:
        """The text of the first part."""
        first = self._preset.parts[0]
        value = data.get(first.name) if isinstance(data, Mapping) else None
        return text_of_part(value, form_of(first)).text if value is not None else ""

    def _value(self, part: Preset, value: Any) -> Any:
        schema, wrapped = self._parts[part.name], part_property(part)
        if wrapped is not None and isinstance(value, dict) and value.keys() == {wrapped}:
            value = value[wrapped]
        if isinstance(value, str):
            value = _listed(value) if schema.json_schema.get("type") == "array" else value.strip()
        if value is None or value == "":
            return None
        try:
            return schema.validate(value)
        except MisfitError:
            return None

    def _labelled(self, text: str) -> Iterator[tuple[str, Any]]:
        """What stands behind each label, up to the next; of one that stands twice, what stands behind the
        last."""
        labels = list(self._label.finditer(text))
        ends = [following.start() for following in labels[1:]] + [len(text)]
        for label, end in zip(labels, ends, strict=False):
            said = text[label.end() : end].strip()
            if said:
                found = [one for one in read_documents(said) if isinstance(one, dict | list)]
                yield label[1], found[-1] if found else said


def _plain_key(name: str) -> str:
    return re.sub(r"[ _-]", "", name.strip().casefold())


def _listed(text: str) -> list[str]:
    pieces = (_BULLET.sub("", piece.strip()).strip(_AROUND) for piece in _PIECES.split(text))
    return [piece for piece in pieces if piece]


def assess_parts(data: JSON, preset: Preset, lang: Language | None) -> tuple[Note, ...]:
    """Notes on each part of an answer: that it is missing, or what is wrong with its text.

    Args:
        data: the answer's, a key for each part.
        preset: with the parts.
        lang: the language asked for; None where any will do.
    """
    notes: list[Note] = []
    for part in preset.parts:
        value = data.get(part.name) if isinstance(data, Mapping) else None
        if value is None:
            notes.append(Note(PART_MISSING, f"the answer has no {part.name}"))
        elif isinstance(value, str):
            found = assess(value, preset=part, lang=lang)
            notes += [Note(note.kind, f"{part.name}: {note.detail}") for note in found]
    return tuple(notes)
