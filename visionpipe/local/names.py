"""The words for what the networks know, in English and Chinese, read from the lists in ``words/``.

English words stand with their article, Chinese ones with their measure word, so that a sentence is put
together and never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAST_ANIMAL = 397
"""ImageNet classes 0 to 397 are animals, the rest are not."""

_FOLDER = Path(__file__).parent / "words"


@dataclass(frozen=True, slots=True)
class Thing:
    """A countable thing: "knife", "knives", "刀", "把"."""

    english: str
    plural: str
    chinese: str
    measure: str


@dataclass(frozen=True, slots=True)
class Family:
    """ImageNet classes that share one everyday word, and the COCO label for the same thing."""

    thing: Thing
    indices: frozenset[int]
    coco: str | None
    animal: bool


def _rows(name: str) -> Iterator[list[str]]:
    """The cells of a list's lines."""
    for line in (_FOLDER / f"{name}.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield [cell.strip() for cell in line.split("|")]


def _thing(english: str, plural: str, chinese: str, measure: str) -> Thing:
    return Thing(english, plural or f"{english}s", chinese, measure)


def _family(row: list[str]) -> Family:
    *words, spans, coco = row
    indices: set[int] = set()
    for span in spans.split():
        first, _, last = span.partition("-")
        indices.update(range(int(first), int(last or first) + 1))
    return Family(_thing(*words), frozenset(indices), coco or None, animal=max(indices) <= LAST_ANIMAL)


COCO: tuple[Thing, ...] = tuple(_thing(*row) for row in _rows("detected"))
"""The detector's 80 classes in index order."""

BY_LABEL: dict[str, Thing] = {thing.english: thing for thing in COCO}

FAMILIES: tuple[Family, ...] = tuple(map(_family, _rows("families")))
"""Families of ImageNet classes; no class is in two."""

FAMILY_OF: dict[str, Family] = {family.thing.english: family for family in FAMILIES}

COLOURS: dict[str, str] = {row[0]: row[1] for row in _rows("colours")}

KIN: dict[int, str] = {int(index): label for label, indices in _rows("kin") for index in indices.split()}
"""The detector's label for a single ImageNet class."""

_CLASSES = list(_rows("classes"))
ENGLISH: dict[int, str] = {int(index): english for index, english, _ in _CLASSES if english}
CHINESE: dict[int, str] = {int(index): chinese for index, _, chinese in _CLASSES if chinese}
"""How to speak of single ImageNet classes, with article or measure word."""
