"""Vectors in the journal: made once, compared with firsts only, and known to the next run."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.errors import BadImageError
from visionpipe.local.likeness import VERSION
from visionpipe.pipeline.duplicates import Near
from visionpipe.pipeline.near_duplicates import FeatureIndex
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.sources.find import Source
from visionpipe.store.database import Database


def at_angle(degrees: float) -> bytes:
    """A vector of two numbers."""
    return (
        np.round(127 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]))
        .astype(np.int8)
        .tobytes()
    )


class Reader:
    """Takes a path's last part for an angle, and counts."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()

    def __call__(self, path: str) -> bytes:
        self.read[path] += 1
        if path == "broken":
            raise BadImageError("it is broken", cure="Mend it.", subject=path)
        return at_angle(float(path))


def placed(index: FeatureIndex, angle: str, content: str | None = None) -> Near | None:
    content = content or f"content {angle}"
    return index.first_like(content, f"{angle}.jpg", index.signature(content, Source(f"{angle}.jpg", angle)))


def test_the_nearest_first_is_taken_and_who_is_near_is_no_first() -> None:
    with closing(Database(None, JOURNAL)) as database:
        index = FeatureIndex(database, 0.9, read=Reader())
        assert placed(index, "0") is None
        assert placed(index, "40") is None
        near = placed(index, "16")
        assert near is not None
        assert (near.content, near.source) == ("content 0", "0.jpg")
        assert near.likeness == pytest.approx(np.cos(np.radians(16)), abs=0.01)
        assert near.reason == f"looks like 0.jpg (likeness {near.likeness:.2f})"
        assert near.note == f"likeness {near.likeness:.2f} to 0.jpg"
        # 20 degrees from 40 as from 0, but 4 from 16, which counts for nothing.
        closer = placed(index, "22")
        assert closer is not None
        assert closer.source == "40.jpg"
        assert placed(index, "-30") is None


@settings(deadline=None, max_examples=60)
@given(angles=st.lists(st.integers(0, 360), min_size=1, max_size=25, unique=True), least=st.floats(0.5, 1))
def test_each_shares_with_the_nearest_first_there_is(angles: list[int], least: float) -> None:
    firsts: list[int] = []
    with closing(Database(None, JOURNAL)) as database:
        index = FeatureIndex(database, least, read=Reader())
        for angle in angles:
            near = placed(index, str(angle))
            vector = np.frombuffer(at_angle(angle), np.int8).astype(np.float64)
            cosines = {
                first: float(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other))
                for first in firsts
                for other in [np.frombuffer(at_angle(first), np.int8).astype(np.float64)]
            }
            best = max(cosines.values(), default=-1.0)
            if near is None:
                assert best < least + 1e-5
                firsts.append(angle)
            else:
                assert best >= least - 1e-5
                assert cosines[int(near.content.split()[1])] == pytest.approx(best, abs=1e-5)


def test_a_first_is_not_near_to_itself() -> None:
    with closing(Database(None, JOURNAL)) as database:
        index = FeatureIndex(database, 0.9, read=Reader())
        assert placed(index, "0", "the bytes") is None
        assert placed(index, "0", "the bytes") is None


def test_the_same_bytes_are_looked_at_once_in_all_runs(tmp_path: Path) -> None:
    reader = Reader()
    for run in range(2):
        with closing(Database(tmp_path / "j", JOURNAL)) as database:
            index = FeatureIndex(database, 0.9, read=reader)
            assert placed(index, "0") is None
            assert placed(index, "5") == placed(index, "5")
            near = placed(index, str(10 + run))
            assert near is not None
            assert near.source == "0.jpg"
    assert reader.read == {"0": 1, "5": 1, "10": 1, "11": 1}


def test_an_open_journal_is_looked_into_and_left_as_it_is(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "j", JOURNAL)) as database:
        index = FeatureIndex(database, 0.9, read=Reader())
        placed(index, "0")
        placed(index, "5")
    before = (tmp_path / "j").read_bytes()
    reader = Reader()
    with (
        closing(Database(tmp_path / "j", JOURNAL, read_only=True)) as recorded,
        closing(Database(None, JOURNAL)) as private,
    ):
        index = FeatureIndex(private, 0.9, recorded, reader)
        assert placed(index, "0") is None
        assert placed(index, "90") is None
        assert [near.source for a in ("5", "8", "85") if (near := placed(index, a))] == ["0.jpg"] * 2 + [
            "90.jpg"
        ]
    assert set(reader.read) == {"90", "8", "85"}
    assert (tmp_path / "j").read_bytes() == before


def test_a_journal_from_before_there_were_vectors_goes_on(tmp_path: Path) -> None:
    first = replace(JOURNAL, versions=JOURNAL.versions[:1])
    Database(tmp_path / "j", first).close()
    with (
        closing(Database(tmp_path / "j", JOURNAL, read_only=True)) as recorded,
        closing(Database(None, JOURNAL)) as private,
    ):
        assert placed(FeatureIndex(private, 0.9, recorded, Reader()), "0") is None
    with closing(Database(tmp_path / "j", JOURNAL)) as database:
        assert placed(FeatureIndex(database, 0.9, read=Reader()), "0") is None
        row = database.one("SELECT source, version, first FROM features")
        assert row is not None
        assert tuple(row) == ("0.jpg", VERSION, 1)


def test_vectors_of_another_version_are_made_anew(tmp_path: Path) -> None:
    reader = Reader()
    with closing(Database(tmp_path / "j", JOURNAL)) as database:
        placed(FeatureIndex(database, 0.9, read=reader), "0")
        placed(FeatureIndex(database, 0.9, read=reader), "90")
        database.write(("UPDATE features SET version = version - 1 WHERE source = '0.jpg'", ()))
        index = FeatureIndex(database, 0.9, read=reader)
        assert placed(index, "1") is None
        near = placed(index, "0")
        assert near is not None
        assert near.source == "1.jpg"
        assert reader.read["0"] == 2


def test_what_cannot_be_looked_at_is_its_own_error_and_leaves_nothing() -> None:
    with closing(Database(None, JOURNAL)) as database:
        index = FeatureIndex(database, 0.9, read=Reader())
        for _ in range(2):
            with pytest.raises(BadImageError):
                placed(index, "broken")
        assert database.one("SELECT 1 FROM features") is None
