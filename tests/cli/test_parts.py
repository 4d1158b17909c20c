"""Shards of a job, and the options of a directory of parts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import Here, environment, here
from tests.pipeline.kill_drill import make_images
from tests.pipeline.test_part_edits import mirror
from tests.pipeline.test_parts import opened
from tests.sinks.test_beside import members
from tests.sources.test_shards import PHOTO, tar
from visionpipe.cli.parts import every_s, is_parts, shard_of
from visionpipe.errors import ParameterError
from visionpipe.files.stores import open_store
from visionpipe.pipeline.edits import Edits, Step
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.ledger import Key, Ledger
from visionpipe.results import ItemResult, Outcome
from visionpipe.stages.keys import Recipe
from visionpipe.testing.sandbox import running_sandbox

ARRAY = {
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_MIN": "4",
    "SLURM_ARRAY_TASK_MAX": "19",
    "SLURM_ARRAY_TASK_COUNT": "16",
}


def test_a_shard_is_given_or_is_that_of_the_array_or_the_indexed_job() -> None:
    assert shard_of(None, {}) is None
    assert shard_of("3/16", {}) == (3, 16)
    assert shard_of("auto", ARRAY) == (3, 16)
    assert shard_of("auto", {"JOB_COMPLETION_INDEX": "2", "VISIONPIPE_SHARDS": "3"}) == (2, 3)


@pytest.mark.parametrize(
    ("text", "environment", "words"),
    [
        ("16/16", {}, "no shard"),
        ("-1/3", {}, "no shard"),
        ("half", {}, "no shard"),
        ("auto", {}, "JOB_COMPLETION_INDEX is not set"),
        ("auto", {"JOB_COMPLETION_INDEX": "2"}, "VISIONPIPE_SHARDS is not set"),
        ("auto", {"JOB_COMPLETION_INDEX": "3", "VISIONPIPE_SHARDS": "3"}, "none of 3"),
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "8"}, "gaps or a step"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_MIN is not set"),
    ],
)
def test_half_a_shard_is_an_error(text: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        shard_of(text, environment)


def test_an_output_that_ends_in_a_slash_is_a_directory_of_parts() -> None:
    assert [
        is_parts(spec) for spec in ("out/", "s3://b/out/", "out.csv", "txt:captions/", "s3://b/o.csv")
    ] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_durability_is_an_item_or_seconds() -> None:
    assert (every_s("item"), every_s("2s"), every_s("0.5s")) == (None, 2.0, 0.5)
    for wrong in ("2", "0s", "now"):
        with pytest.raises(ParameterError, match="no durability"):
            every_s(wrong)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


def recorded(ledger: Ledger) -> None:
    recipe = Recipe("m", "What is it?")
    ledger.begin(recipe)
    for number in range(2):
        name = f"0.tar/{number}.jpg"
        result = ItemResult(name, Outcome.DONE, caption=f"A photo of {number}.", attempts=1)
        ledger.record(Key(name, recipe.question("What is it?"), "c"), result)
    ledger.end("complete")


def test_answers_are_put_beside_a_jobs_source(run: Here, tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar(*[(f"{n}.jpg", PHOTO) for n in range(3)]))
    recorded(opened(f"{tmp_path}/out/"))
    recorded(Journal(tmp_path / "job.journal"))
    Edits(tmp_path / "job.journal", "Ana").apply("", [Step("0.tar/1.jpg", "caption", "Mine.")])
    (tmp_path / "mirror").mkdir()
    reviewed = mirror(open_store(f"{tmp_path}/out/"), tmp_path / "mirror")
    reviewed.edits.apply("", [Step("0.tar/1.jpg", "caption", "Ours.")])
    for job, words in (("out/", "Ours."), ("job.journal", "Mine.")):
        done = run("export", job, "--beside", "0.tar", "-o", f"{job[:3]}-beside/", folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, "")
        assert "1 file written: 2 done, 1 not asked" in done.stderr
        held = members((tmp_path / f"{job[:3]}-beside" / "0.tar").read_bytes())
        assert list(held) == ["0.jpg", "0.txt", "1.jpg", "1.txt", "2.jpg"]
        assert held["1.txt"].decode() == words
    again = run("export", "out/", "--beside", "0.tar", "-o", "out-beside/", folder=tmp_path)
    assert "kept as they were: 1 files" in again.stderr
    for wrong, reason in (
        (["--beside", f"{tmp_path}/0.tar", "-o", "x/"], "knows nothing of what is in it"),
        (["--beside", "0.tar", "-o", "x.tar"], "go into a folder"),
        (["--beside", "0.tar", "-o", "x/", "--existing", "append"], "means nothing"),
        (["--beside", "0.tar", "-o", "x/", "--field", "a/b"], "names no column"),
        (["--beside", "0.tar", "-o", "x/", "--naming", "{stem}"], "no such option"),
        (["--field", "alt", "-o", "x.csv"], "Add --beside"),
    ):
        refused = run("export", "out/", *wrong, folder=tmp_path)
        assert refused.returncode == 2
        assert reason in refused.stderr
    assert not (tmp_path / "x").exists()


def test_sigterm_begins_nothing_more_stores_what_is_under_way_and_the_next_run_goes_on(
    tmp_path: Path,
) -> None:
    images = tmp_path / "in"
    make_images(images, 30)
    with running_sandbox(answers="saw") as sandbox:
        sandbox.set_scenario({"rule": [{"fault": {"kind": "hold"}}]})
        env = environment({"VISIONPIPE_API_KEY": sandbox.key, "VISIONPIPE_BASE_URL": sandbox.base_url})
        command = [sys.executable, "-m", "visionpipe", "caption", str(images), "-o", "out/"]
        command += ["--model", "glm-4.6v"]
        with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
            # Some are under way, and the others wait for their place.
            while sandbox.stats()["in_flight"] < 4:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            said = ""
            while "stopping" not in said:
                said += process.stderr.readline()
            # One that had its place already may have been sent just now.
            sandbox.set_scenario({})
            sandbox.release()
            _, rest = process.communicate(timeout=60)
        assert process.returncode == 75, said + rest
        asked = sandbox.stats()["requests"]
        assert f"out/: {asked} done" in rest
        assert asked < 30
        assert subprocess.run(command, cwd=tmp_path, env=env, check=False).returncode == 0
        assert sandbox.stats()["requests"] == 30


def test_a_reached_budget_counts_every_answer_that_was_paid_for(run: Here, tmp_path: Path) -> None:
    make_images(tmp_path / "in", 30)
    with running_sandbox() as sandbox:
        more = ["--base-url", f"bigmodel+{sandbox.base_url}", "--model", "glm-4.6v"]
        stopped = run(
            *("caption", "in", "-o", "out/", "--budget-requests", "7", *more),
            folder=tmp_path,
            env={"VISIONPIPE_API_KEY": sandbox.key},
        )
    assert stopped.returncode != 0 and "budget is reached" in stopped.stderr
    assert "out/: 7 done" in stopped.stderr


def test_a_sigterm_inside_generated_code_leaves_the_status_as_it_was_told() -> None:
    code = (
        "import sys\n"
        "from visionpipe.cli.parts import STOPPED, Terminated\n"
        "try:\n"
        "    exec('raise Terminated')\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(STOPPED)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 75
