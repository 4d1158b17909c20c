"""What is sure enough to be said.

Better to say less than to say something false. The thresholds were found on photos with known content; a
false answer that was met is named beside the figure or clause that stops it.

English words stand with their article, Chinese ones with their measure word, as the lists in ``words/`` have
them, so that a sentence is put together and never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from visionpipe.local.facts import Detection, Guess, Look, Objects, Subject

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


CLASSES = 1000
SURE = 0.5
SURE_OF_A_POOR_PICTURE = 0.8
"""A blurred, grey or two-toned picture is unlike what the classifier has learnt from: it took a moving clock
for a bubble at 0.55, and a speck on a retina for a worm at 0.76."""

SURE_WITHOUT_BOX = 0.9
AGREEING_BOX = 0.5
"""Where the detector knows the family too, it has to agree: a cartoon rabbit was a bird at 0.85, unboxed."""

PERSON_ALONE = 0.55
ALONE = 0.65
"""A detection that nothing else supports: below, a plate of coins passed for a clock."""

ANIMAL_ALONE = 0.8
AGREEING_SHARE = 0.2
"""An animal that the classifier knows, too, needs some support from it: a quokka was a cat at 0.65."""

BESIDE = 0.55
"""A detection beside something that is sure already."""

ANIMALS = frozenset(["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"])
OVERLAP = 0.5
"""From this share of two boxes' common area on, they are about one thing."""

WORN = frozenset({"tie", "backpack", "handbag"})


class Probabilities(Protocol):
    """The classifier's answer."""

    def top(self, count: int) -> tuple[Guess, ...]: ...
    def share(self, indices: Iterable[int]) -> float: ...


def subject_of(found: Probabilities, look: Look, detections: Sequence[Detection]) -> Subject | None:
    """The subject of the whole image, or None where the networks are not sure."""
    poor = look.blurred or look.bilevel or look.grey
    needed = SURE_OF_A_POOR_PICTURE if poor else SURE
    family = max(FAMILIES, key=lambda family: found.share(family.indices))
    share = found.share(family.indices)
    if share >= needed:
        agreed = any(d.label == family.coco and d.score >= AGREEING_BOX for d in detections)
        if family.coco and not agreed and share < SURE_WITHOUT_BOX:
            return None
        likeliest = next(guess for guess in found.top(CLASSES) if guess.index in family.indices)
        return Subject(likeliest.index, likeliest.label, family.thing.english, share)
    best = found.top(1)[0]
    return Subject(best.index, best.label, None, best.probability) if best.probability >= needed else None


def kin_of(subject: Subject | None) -> str | None:
    """The detector's label for the same thing, where it has one."""
    if subject is None:
        return None
    return FAMILY_OF[subject.family].coco if subject.family else KIN.get(subject.index)


def objects_of(
    detections: Sequence[Detection], subject: Subject | None, found: Probabilities
) -> tuple[Objects, ...]:
    """The detections that can be believed beside ``subject``, grouped by label, the largest first."""
    detections = [d for d in detections if not _is_an_animal(d, detections, found)]
    company = subject is not None or any(_stands_alone(d, found) for d in detections)
    person = any(d.label == "person" and d.score >= BESIDE for d in detections)
    believed = [
        d
        for d in detections
        if company
        and d.score >= BESIDE
        and not (d.label in ANIMALS and _contradicts(d, subject, found))
        and not (d.label in WORN and not person)  # a tie was seen on a baboon
    ]
    groups: dict[str, list[Detection]] = {}
    for detection in believed:
        groups.setdefault(detection.label, []).append(detection)
    objects = [
        Objects(label, max(d.score for d in group), tuple(d.box for d in group))
        for label, group in groups.items()
    ]
    return tuple(sorted(objects, key=lambda group: -max(box.area for box in group.boxes)))


def _is_an_animal(person: Detection, detections: Sequence[Detection], found: Probabilities) -> bool:
    """Whether what was taken for a person is more surely an animal: a baboon, a rearing horse."""
    if person.label != "person":
        return False
    animals = [d for d in detections if d.label in ANIMALS]
    here = [d for d in animals if d.box.overlap(person.box) >= OVERLAP]
    if any(d.score > person.score for d in here):
        return True
    # An animal with a box of its own, such as a dog on a lead, may be what the classifier has seen.
    return len(here) == len(animals) and found.share(range(LAST_ANIMAL + 1)) >= person.score


def _stands_alone(detection: Detection, found: Probabilities) -> bool:
    if detection.label == "person":
        return detection.score >= PERSON_ALONE
    if detection.score < ALONE:
        return False
    family = next((f for f in FAMILIES if f.animal and f.coco == detection.label), None)
    return family is None or detection.score >= ANIMAL_ALONE or found.share(family.indices) >= AGREEING_SHARE


def _contradicts(detection: Detection, subject: Subject | None, found: Probabilities) -> bool:
    if detection.label == kin_of(subject):
        return False
    # Beside a sure animal another one is a misreading of it; beside a thing it needs to be sure by itself.
    animal = subject is not None and subject.index <= LAST_ANIMAL
    return animal or not _stands_alone(detection, found)
