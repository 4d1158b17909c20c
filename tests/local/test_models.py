"""The shipped weights are the ones that were checked."""

from __future__ import annotations

import hashlib

import pytest

from visionpipe.local.decide import BY_LABEL, CHINESE, COCO, ENGLISH, FAMILIES, KIN
from visionpipe.local.networks import CLASSIFIER, DETECTOR, LABELS, labels, model_file

SUMS = {line.split()[1]: line.split()[0] for line in model_file("SHA256SUMS").decode().splitlines()}


@pytest.mark.parametrize("name", [CLASSIFIER, DETECTOR, LABELS])
def test_weights_are_as_published(name: str) -> None:
    assert hashlib.sha256(model_file(name)).hexdigest() == SUMS[name]


def test_notice_names_every_file() -> None:
    notice = model_file("NOTICE").decode()
    assert all(name in notice for name in SUMS)


def test_every_class_has_a_label() -> None:
    assert len(labels()) == 1000
    assert len(BY_LABEL) == len(COCO) == 80


def test_no_class_is_in_two_families() -> None:
    indices = [index for family in FAMILIES for index in family.indices]
    assert len(indices) == len(set(indices))
    assert not set(indices) & set(ENGLISH)
    assert not set(indices) & set(CHINESE)


def test_kin_are_labels_of_the_detector() -> None:
    assert set(KIN.values()) <= set(BY_LABEL)
    assert {family.coco for family in FAMILIES} - {None} <= set(BY_LABEL)
