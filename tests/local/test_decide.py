"""What is sure enough to be said, case by case."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from visionpipe.local.decide import kin_of, objects_of, subject_of
from visionpipe.local.facts import Box, Detection, Guess, Look, Subject

GOOD = Look(colours=(), grey=False, bilevel=False, sharpness=0.6, brightness=120.0, exposure="normal")
BLURRED = Look(colours=(), grey=False, bilevel=False, sharpness=0.1, brightness=120.0, exposure="normal")
GREY = Look(colours=(), grey=True, bilevel=False, sharpness=0.6, brightness=120.0, exposure="normal")
TABBY, TIGER_CAT, ALBATROSS, ESPRESSO, BUBBLE, BABOON = 281, 282, 146, 967, 971, 372


class Classes:
    """A classifier's answer with these probabilities, and nothing for the other classes."""

    def __init__(self, shares: dict[int, float]) -> None:
        self._shares = shares

    def top(self, count: int) -> tuple[Guess, ...]:
        best = sorted(range(1000), key=lambda index: -self._shares.get(index, 0.0))
        return tuple(Guess(index, f"class {index}", self._shares.get(index, 0.0)) for index in best[:count])

    def share(self, indices: Iterable[int]) -> float:
        return sum(self._shares.get(index, 0.0) for index in indices)


NOTHING = Classes({})


def seen(label: str, score: float, side: float = 0.5) -> Detection:
    return Detection(label, score, Box(0.0, 0.0, side, side))


def labels(*detections: Detection, subject: Subject | None = None, classes: Classes = NOTHING) -> list[str]:
    return [group.label for group in objects_of(detections, subject, classes)]


def test_a_family_sums_over_its_classes() -> None:
    found = Classes({TABBY: 0.25, TIGER_CAT: 0.5})
    subject = subject_of(found, GOOD, [seen("cat", 0.6)])
    assert subject == Subject(TIGER_CAT, "class 282", "cat", 0.75)


def test_a_family_that_the_detector_knows_needs_its_agreement() -> None:
    assert subject_of(Classes({ALBATROSS: 0.85}), GOOD, [seen("bird", 0.41)]) is None
    assert subject_of(Classes({ALBATROSS: 0.95}), GOOD, []) is not None


def test_a_class_alone_needs_half_the_probability() -> None:
    subject = subject_of(Classes({ESPRESSO: 0.5}), GOOD, [])
    assert subject == Subject(ESPRESSO, "class 967", None, 0.5)
    assert subject_of(Classes({ESPRESSO: 0.49}), GOOD, []) is None


@pytest.mark.parametrize("look", [BLURRED, GREY])
def test_a_poor_picture_needs_more(look: Look) -> None:
    assert subject_of(Classes({BUBBLE: 0.55}), look, []) is None
    assert subject_of(Classes({BUBBLE: 0.8}), look, []) is not None


def test_detections_alone() -> None:
    assert labels(seen("person", 0.55)) == ["person"]
    assert labels(seen("person", 0.54)) == []
    assert labels(seen("clock", 0.64)) == []
    assert labels(seen("clock", 0.65)) == ["clock"]


def test_company_lets_less_sure_things_in() -> None:
    assert labels(seen("person", 0.9), seen("clock", 0.56, 0.2)) == ["person", "clock"]


def test_an_animal_alone_needs_the_classifier() -> None:
    assert labels(seen("cat", 0.65)) == []
    assert labels(seen("cat", 0.65), classes=Classes({TABBY: 0.2})) == ["cat"]
    assert labels(seen("cat", 0.8)) == ["cat"]
    assert labels(seen("horse", 0.66)) == ["horse"]


def test_an_animal_box_against_a_sure_animal_is_dropped() -> None:
    tabby = Subject(TABBY, "tabby", "cat", 0.9)
    assert labels(seen("dog", 0.9), seen("cat", 0.6), subject=tabby) == ["cat"]
    assert labels(seen("dog", 0.6), subject=Subject(ESPRESSO, "espresso", None, 0.9)) == []
    assert labels(seen("dog", 0.9), subject=Subject(ESPRESSO, "espresso", None, 0.9)) == ["dog"]


def test_clothes_need_a_person() -> None:
    baboon = Subject(BABOON, "baboon", "monkey", 0.9)
    assert labels(seen("tie", 0.7), subject=baboon) == []
    assert labels(seen("tie", 0.7, 0.1), seen("person", 0.7)) == ["person", "tie"]


def test_objects_are_counted_and_the_largest_comes_first() -> None:
    groups = objects_of(
        [seen("cup", 0.9, 0.1), seen("person", 0.6, 0.9), seen("cup", 0.7, 0.2)], None, NOTHING
    )
    assert [(g.label, g.count, g.score) for g in groups] == [("person", 1, 0.6), ("cup", 2, 0.9)]


def test_kin() -> None:
    assert kin_of(None) is None
    assert kin_of(Subject(TABBY, "tabby", "cat", 0.9)) == "cat"
    assert kin_of(Subject(963, "pizza", None, 0.9)) == "pizza"
    assert kin_of(Subject(ESPRESSO, "espresso", None, 0.9)) is None


def test_a_person_is_not_said_where_an_animal_is_surer() -> None:
    """A baboon passed for a person, and so did a rearing horse."""
    monkey = Subject(BABOON, "baboon", "monkey", 0.9)
    classes = Classes({BABOON: 0.9})
    assert labels(seen("person", 0.7), subject=monkey, classes=classes) == []
    assert labels(seen("person", 0.7), classes=Classes({BABOON: 0.3, TABBY: 0.45})) == []
    assert labels(seen("person", 0.6), seen("horse", 0.81)) == ["horse"]


def test_a_person_beside_an_animal_stays() -> None:
    dog = Detection("dog", 0.9, Box(0.7, 0.5, 1.0, 1.0))
    person = Detection("person", 0.7, Box(0.1, 0.0, 0.5, 1.0))
    subject = Subject(200, "terrier", "dog", 0.8)
    assert labels(person, dog, subject=subject, classes=Classes({200: 0.8})) == ["person", "dog"]
    assert labels(seen("person", 0.8), classes=Classes({BABOON: 0.5})) == ["person"]
    assert "person" in labels(seen("person", 0.85), seen("horse", 0.6), classes=Classes({339: 0.3}))


def test_boxes_overlap_by_their_common_area() -> None:
    whole, half = Box(0, 0, 1, 1), Box(0, 0, 0.5, 1)
    assert whole.overlap(half) == 0.5
    assert half.overlap(Box(0.5, 0, 1, 1)) == 0.0
    assert Box(0, 0, 0, 0).overlap(Box(0, 0, 0, 0)) == 0.0
