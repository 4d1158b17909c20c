"""A batch job survives the end of its process at any moment: nothing is lost, nothing is asked twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.batch_jobs import Killed, Mortal, album, client_for, ends, job, lines_at
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.reading import recorded_results
from visionpipe.results import ItemResult
from visionpipe.sources.find import Source
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox
from visionpipe.wire.batches import BatchLimits


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dies_at", range(1, 12))
def test_a_death_at_any_request_costs_nothing(
    service: SandboxHandle, photos: Path, tmp_path: Path, dies_at: int, answered: bool
) -> None:
    collected: list[ItemResult] = []
    limits = BatchLimits(lines=4)
    with client_for(service, sender=Mortal(service, dies_at, answered)) as client:
        try:
            collected.extend(job(client, tmp_path, limits=limits).run(photos))
        except Killed:
            pass
        else:
            assert len(collected) == 6
    with client_for(service) as client:
        run = job(client, tmp_path, limits=limits).run(photos)
        results = list(run)
    assert ends(results) == {f"{n:04}.png": "done" for n in range(6)}
    assert sorted(lines_at(service)) == [2, 4], "no line was asked twice"
    journal = Journal(tmp_path / "job.journal")
    assert journal.spent().requests == 6
    journal.close()
    assert not Path(f"{tmp_path / 'job.journal'}.batch").exists()


def dying_at(service: SandboxHandle, photos: Path, tmp_path: Path, request: int) -> None:
    """A run whose process ends before its n-th request."""
    with (
        client_for(service, sender=Mortal(service, request, answered=False)) as client,
        pytest.raises(Killed),
    ):
        list(job(client, tmp_path).run(photos))


def test_a_death_while_a_file_is_written(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    def some() -> Iterator[Source]:
        yield from [Source(f"000{n}.png", str(photos / f"000{n}.png")) for n in range(3)]
        raise Killed

    with client_for(service) as client:
        with pytest.raises(Killed):
            list(job(client, tmp_path).run(some()))
        assert len(list(Path(f"{tmp_path / 'job.journal'}.batch").iterdir())) == 1
        assert set(ends(list(job(client, tmp_path).run(photos))).values()) == {"done"}
    assert lines_at(service) == [6]
    assert not Path(f"{tmp_path / 'job.journal'}.batch").exists()


def test_a_file_that_is_lost_before_its_upload_is_written_anew(
    service: SandboxHandle, photos: Path, tmp_path: Path
) -> None:
    dying_at(service, photos, tmp_path, 1)
    shutil.rmtree(f"{tmp_path / 'job.journal'}.batch")
    with client_for(service) as client:
        assert set(ends(list(job(client, tmp_path).run(photos))).values()) == {"done"}
    assert lines_at(service) == [6]


def test_an_upload_that_is_gone_is_made_anew(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    dying_at(service, photos, tmp_path, 2)
    with client_for(service) as client:
        client.files.delete(client.files.list("batch").items[0].id)
        assert set(ends(list(job(client, tmp_path).run(photos))).values()) == {"done"}
    assert lines_at(service) == [6]


def test_an_upload_among_many_is_found_again(service: SandboxHandle, photos: Path, tmp_path: Path) -> None:
    with client_for(service, sender=Mortal(service, 1, answered=True)) as client, pytest.raises(Killed):
        list(job(client, tmp_path).run(photos))
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"{}\n")
    with client_for(service) as client:
        for _ in range(101):
            client.files.upload(other)
        assert set(ends(list(job(client, tmp_path).run(photos))).values()) == {"done"}
        kept = client.files.list("batch", limit=100).items
    assert lines_at(service) == [6]
    assert not [file for file in kept if file.filename.startswith("visionpipe-")], "one upload, now deleted"


CHILD = """
import sys
from visionpipe.client import Client
from visionpipe.pipeline.job_setup import BatchOptions
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.stages.retry import PollPolicy

url, key, journal, photos = sys.argv[1:]
with Client("glm-4v-plus-0111", base_url=url, api_key=key) as client:
    batch = BatchOptions(
        policy=PollPolicy(first_wait=0.02, longest_wait=0.02),
        on_step=lambda event: print(event.state, event.lines, flush=True),
    )
    run = Pipeline("What is it?", client=client, journal=journal, via="batch", batch=batch).run(photos)
    for result in run:
        print("result", result.source, flush=True)
print("end", run.summary.done, run.summary.kept, flush=True)
"""


def test_a_thousand_pictures_and_three_kills(tmp_path: Path) -> None:
    photos = album(tmp_path / "photos", 1000)
    journal = tmp_path / "job.journal"
    hold = {"kind": "hold"}
    with running_sandbox(task_polls=3) as service:
        command = [
            sys.executable,
            "-c",
            CHILD,
            f"bigmodel+{service.base_url}",
            service.key,
            str(journal),
            str(photos),
        ]

        def run_until(word: str) -> None:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                assert any(line.startswith(word) for line in child.stdout)
                child.send_signal(signal.SIGKILL)

        service.set_scenario({"rule": [{"path": "*/files", "fault": hold}]})
        run_until("written 1000")  # the upload is under way, and held
        service.set_scenario({})
        run_until("in_progress 1000")  # being asked after
        service.set_scenario(
            {"rule": [{"path": "*/content", "fault": {"kind": "slow_writer", "bytes_per_second": 50_000}}]}
        )
        run_until("completed 1000")  # being downloaded
        service.set_scenario({})
        run_until("result 0500.png")  # being read
        last = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        assert sorted(lines_at(service)) == [1000], "one batch, and every line in it once"
    assert last.stdout.splitlines()[-1].split()[:2] == ["end", "1000"]
    results = list(recorded_results(journal))
    assert ends(results) == {f"{n:04}.png": "done" for n in range(1000)}
    found = Journal(journal)
    assert found.spent().requests == 1000
    found.close()
