"""The schema of a job's data, as a journal keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from visionpipe.errors import JournalError
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.reading import JournalView, recorded_schema
from visionpipe.stages.keys import Recipe

PRICE: dict[str, Any] = {"type": "object", "properties": {"价格": {"type": "number"}, "a": {"const": None}}}
PRICED = Recipe("glm-4.6v", "What does it cost?", schema=PRICE)
PLAIN = Recipe("glm-4.6v", "What is it?")


def test_each_job_has_its_own_and_the_last_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for recipe, schema in ((PRICED, PRICE), (PLAIN, None)):
        journal = Journal(path)
        journal.begin(recipe)
        assert recorded_schema(path) == schema
        journal.end("complete")
        assert recorded_schema(path) == schema
    found = recorded_schema(path, job=PRICED.job)
    assert found == PRICE
    assert list(found["properties"]) == ["价格", "a"]
    assert recorded_schema(path, job="no such job") is None


def test_where_nothing_was_run_there_is_none(tmp_path: Path) -> None:
    view = JournalView.open(tmp_path / "none")
    assert view.schema() is None
    view.close()
    with pytest.raises(JournalError, match="there is no such journal"):
        recorded_schema(tmp_path / "none")
