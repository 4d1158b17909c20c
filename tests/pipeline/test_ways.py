"""Calls and batch files are two ways of one pipeline."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import batch_jobs
from tests.pipeline.answering import Scripted
from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.pipeline.job_setup import BatchOptions
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.limiter import Limiter
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.prompts import presets
from visionpipe.results import Outcome
from visionpipe.testing.sandbox import SandboxHandle


def test_either_way_goes_on_with_what_the_other_has_done(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    with batch_jobs.client_for(service) as client:
        by_call = Pipeline("What is it?", client=client, journal=tmp_path / "job.journal")
        first = by_call.run(photos)
        assert {result.outcome for result in first} == {Outcome.DONE}
        second = batch_jobs.job(client, tmp_path).run(photos)
        kept = {result.source: result.caption for result in second}
        assert second.summary is not None
        assert (second.summary.kept, second.summary.requests) == (len(kept), 0)
    assert batch_jobs.lines_at(service) == []


def test_batches_are_awaited_too(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    async def consume(pipeline: Pipeline) -> list[str]:
        return [result.source async for result in pipeline.arun(photos)]

    with batch_jobs.client_for(service) as client:
        found = asyncio.run(consume(batch_jobs.job(client, tmp_path)))
    assert sorted(found) == sorted(path.name for path in photos.iterdir())
    assert len(batch_jobs.lines_at(service)) == 1


def test_a_cancelled_batch_run_gives_its_journal_back(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    with batch_jobs.client_for(service) as client:

        async def consume() -> None:
            asking = asyncio.current_task()
            loop = asyncio.get_running_loop()
            assert asking is not None
            pipeline = batch_jobs.job(
                client, tmp_path, on_step=lambda event: loop.call_soon_threadsafe(asking.cancel)
            )
            async for _ in pipeline.arun(photos):
                raise AssertionError("cancelled before the first")

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(consume())
        Journal(tmp_path / "job.journal").close()
        results = list(batch_jobs.job(client, tmp_path).run(photos))
    assert {result.outcome for result in results} == {Outcome.DONE}
    assert len(batch_jobs.lines_at(service)) == 1


@pytest.mark.parametrize(
    ("more", "subject"),
    [
        ({"via": "pigeon"}, "via"),
        ({"batch": BatchOptions()}, "batch"),
        ({"via": "batch", "journal": None}, "journal"),
        ({"via": "batch", "answerer": Scripted()}, "answerer"),
        ({"via": "batch", "near_duplicates": 3}, "near_duplicates"),
        ({"via": "batch", "rpm": 10}, "rpm"),
        ({"via": "batch", "tpm": 10}, "tpm"),
        ({"via": "batch", "limiter": Limiter(3)}, "limiter"),
        ({"via": "batch", "item_seconds": 3}, "item_seconds"),
        ({"via": "batch", "job_seconds": 3}, "job_seconds"),
        ({"via": "batch", "outage_seconds": 3}, "outage_seconds"),
        ({"via": "batch", "preparers": 3}, "preparers"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(
    tmp_path: Path, more: dict[str, Any], subject: str
) -> None:
    arguments = {"journal": tmp_path / "j", "model": "glm-4v-plus", **more}
    with pytest.raises(ParameterError) as caught:
        Pipeline("What?", **arguments)
    assert caught.value.subject == subject
    assert not (tmp_path / "j").exists()


def test_a_pipeline_with_a_client_of_its_own_finds_out_when_it_begins(tmp_path: Path) -> None:
    pipeline = Pipeline(presets.alt_text, journal=tmp_path / "j", via="batch")
    with pytest.raises(UnsupportedError, match="batch"):
        list(pipeline.run([]))
    Journal(tmp_path / "j").close()
