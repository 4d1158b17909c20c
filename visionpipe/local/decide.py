"""What is sure enough to be said.

The rule: better to say less than to say something false. The thresholds were found on 57 photos with known
content; every false answer met there is named beside the clause that stops it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from visionpipe.local.facts import Detection, Guess, Look, Objects, Subject
from visionpipe.local.names import FAMILIES, FAMILY_OF, KIN, LAST_ANIMAL

SURE = 0.5
SURE_OF_A_POOR_PICTURE = 0.8
"""A blurred or two-toned picture is unlike what the classifier has learnt from: it took a moving clock for
a bubble at 0.55."""

PERSON_ALONE = 0.55
ALONE = 0.65
"""A detection that nothing else supports: below, a plate of coins passed for a clock."""

BESIDE = 0.55
"""A detection beside something that is sure already."""

ANIMALS = frozenset(["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"])
WORN = frozenset({"tie", "backpack", "handbag"})


class Probabilities(Protocol):
    """The classifier's answer."""

    def top(self, count: int) -> tuple[Guess, ...]: ...
    def share(self, indices: Iterable[int]) -> float: ...


def subject_of(found: Probabilities, look: Look) -> Subject | None:
    """The subject of the whole image, or None where the classifier is not sure."""
    needed = SURE_OF_A_POOR_PICTURE if look.blurred or look.bilevel else SURE
    family = max(FAMILIES, key=lambda family: found.share(family.indices))
    share = found.share(family.indices)
    if share >= needed:
        likeliest = max(found.top(1000), key=lambda g: g.probability if g.index in family.indices else -1.0)
        return Subject(likeliest.index, likeliest.label, family.thing.english, share)
    best = found.top(1)[0]
    return Subject(best.index, best.label, None, best.probability) if best.probability >= needed else None


def kin_of(subject: Subject | None) -> str | None:
    """The detector's label for the same thing, where it has one."""
    if subject is None:
        return None
    return FAMILY_OF[subject.family].coco if subject.family else KIN.get(subject.index)


def objects_of(detections: Sequence[Detection], subject: Subject | None) -> tuple[Objects, ...]:
    """The detections that can be believed beside ``subject``, grouped by label, the largest first."""
    kin = kin_of(subject)
    company = subject is not None or any(_stands_alone(d) for d in detections)
    person = any(d.label == "person" and d.score >= BESIDE for d in detections)
    believed = [
        d
        for d in detections
        if d.score >= (BESIDE if company else PERSON_ALONE)
        and (company or _stands_alone(d))
        and not (d.label in ANIMALS and _contradicts(d, subject, kin))
        and not (d.label in WORN and not person)  # a tie was seen on a baboon
    ]
    groups: dict[str, list[Detection]] = {}
    for detection in believed:
        groups.setdefault(detection.label, []).append(detection)
    return tuple(
        sorted(
            (
                Objects(name, max(d.score for d in group), tuple(d.box for d in group))
                for name, group in groups.items()
            ),
            key=lambda group: -max(box.area for box in group.boxes),
        )
    )


def _stands_alone(detection: Detection) -> bool:
    return detection.score >= (PERSON_ALONE if detection.label == "person" else ALONE)


def _contradicts(detection: Detection, subject: Subject | None, kin: str | None) -> bool:
    if subject is None or detection.label == kin:
        return False
    # Beside a sure animal another one is a misreading of it; beside a thing it needs to be sure by itself.
    return subject.index <= LAST_ANIMAL or detection.score < ALONE
