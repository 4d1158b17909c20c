"""Several presets in one request an image: a column for each, and each in its own form in texts."""

from __future__ import annotations

import csv
import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.commands import SAMPLES, lines, visionpipe
from visionpipe.client import Client
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.prompts import presets
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

ANSWER: dict[str, Any] = {"caption": "A cat sleeps on a sofa.", "tags": ["cat", "orange fur"]}
JOINED = "A cat sleeps on a sofa. cat, orange fur"
OUTPUTS = (
    "out.jsonl",
    "out.csv",
    "out.parquet",
    "out.sqlite",
    "out.html",
    "out.tar",
    "txt:",
    "xmp:",
    "json:",
)
TRAINING = ("kohya:meta.json", "imagefolder:in/metadata.jsonl")


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox(answers="script", task_polls=0) as handle:
        handle.set_scenario({"answer": [{"text": json.dumps(ANSWER)}]})
        yield handle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(image_bytes("png", 8 + number, 8))
    return tmp_path


def caption(folder: Path, sandbox: SandboxHandle, *options: str, status: int = 0) -> str:
    both = ["--preset", "caption", "--preset", "tags"]
    address = ["--base-url", f"bigmodel+{sandbox.base_url}", "--model", "glm-4.6v", "--concurrency", "1"]
    env = {"VISIONPIPE_API_KEY": sandbox.key}
    done = visionpipe("caption", "in", *both, *options, *address, folder=folder, env=env)
    assert done.returncode == status, done.stderr
    return done.stderr


def chats(sandbox: SandboxHandle) -> int:
    return sum(record["path"].endswith("/chat/completions") for record in sandbox.log())


def specs(*names: str) -> list[str]:
    return [word for name in names for word in ("-o", name)]


def test_one_request_an_image_and_every_output_has_both(folder: Path, sandbox: SandboxHandle) -> None:
    said = caption(folder, sandbox, *specs(*OUTPUTS, *TRAINING))
    assert "3 items: 3 done" in said
    assert chats(sandbox) == 3
    assert_outputs(folder)
    assert "requests: 0" in caption(folder, sandbox, *specs(*OUTPUTS, *TRAINING))
    # An export knows from the journal what was asked.
    for path in [*folder.glob("out*"), *folder.glob("in/*.txt"), folder / "meta.json"]:
        if "journal" not in path.name:
            path.unlink()
    done = visionpipe("export", "out.jsonl.journal", *specs(*OUTPUTS, *TRAINING), folder=folder)
    assert done.returncode == 0, done.stderr
    assert_outputs(folder)
    assert chats(sandbox) == 3


def assert_outputs(folder: Path) -> None:
    rows = lines(folder / "out.jsonl")
    assert {name: row["data"] for name, row in rows.items()} == {f"{n}.png": ANSWER for n in range(3)}
    assert rows["0.png"]["caption"] == ANSWER["caption"]
    with (folder / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.DictReader(file))
    assert first["caption"] == first["data_caption"] == ANSWER["caption"]
    assert json.loads(first["data_tags"]) == ANSWER["tags"]
    table = pq.read_table(folder / "out.parquet")
    assert table["data_tags"].to_pylist() == [ANSWER["tags"]] * 3
    with closing(sqlite3.connect(folder / "out.sqlite")) as database:
        found = database.execute("SELECT DISTINCT caption, data_caption, data_tags FROM results").fetchall()
    assert found == [(ANSWER["caption"], ANSWER["caption"], '["cat","orange fur"]')]
    assert (folder / "in/0.txt").read_text() == f"{JOINED}\n"
    packet = (folder / "in/0.xmp").read_text()
    assert ANSWER["caption"] in packet
    assert ">orange fur</rdf:li>" in packet
    assert JOINED not in packet
    assert json.loads((folder / "in/0.json").read_text())["data"] == ANSWER
    assert "tags: cat, orange fur" in (folder / "out.html").read_text()
    with tarfile.open(folder / "out-000000.tar") as archive:
        texts = [archive.extractfile(member) for member in archive if member.name.endswith(".txt")]
        assert [text.read().decode() for text in texts if text is not None] == [JOINED] * 3
    entries = json.loads((folder / "meta.json").read_text()).values()
    assert list(entries) == [{"caption": ANSWER["caption"], "tags": "cat, orange fur"}] * 3
    with (folder / "in/metadata.jsonl").open() as file:
        row = json.loads(file.readline())
    assert row == {
        "file_name": "0.png",
        "text": JOINED,
        "caption": ANSWER["caption"],
        "tags": "cat, orange fur",
    }


@pytest.mark.parametrize(
    "said",
    [
        "**Caption:** A cat sleeps on a sofa.\n**Tags:** cat, orange fur",
        '```json\n{"Caption": "A cat sleeps on a sofa.", "Tags": {"tags": ["cat", "orange fur"]}}\n```',
    ],
)
def test_an_answer_in_another_form_is_read_all_the_same(
    folder: Path, sandbox: SandboxHandle, said: str
) -> None:
    sandbox.set_scenario({"answer": [{"text": said}]})
    caption(folder, sandbox, *specs("out.jsonl"))
    assert [row["data"] for row in lines(folder / "out.jsonl").values()] == [ANSWER] * 3
    assert chats(sandbox) == 3


def test_a_part_that_is_missing_is_asked_for_once_more_and_then_noted(
    folder: Path, sandbox: SandboxHandle
) -> None:
    sandbox.set_scenario({"answer": [{"text": json.dumps({"caption": ANSWER["caption"]})}]})
    said = caption(folder, sandbox, *specs("out.jsonl", "txt:"))
    assert chats(sandbox) == 6
    assert "noted, part_missing: 3" in said
    row = lines(folder / "out.jsonl")["0.png"]
    assert row["data"] == {"caption": ANSWER["caption"], "tags": None}
    assert {"kind": "part_missing", "detail": "the answer has no tags"} in row["notes"]
    assert (folder / "in/0.txt").read_text() == f"{ANSWER['caption']}\n"
    strict = caption(folder, sandbox, *specs("strict.jsonl"), "--quality", "part_missing=fail", status=1)
    assert "3 failed" in strict


def test_through_batch_files(folder: Path, sandbox: SandboxHandle) -> None:
    both = ["--preset", "caption", "--preset", "tags", "--via", "batch", *specs("out.jsonl", "txt:")]
    address = ["--base-url", f"bigmodel+{sandbox.base_url}", "--model", "glm-4v-plus-0111"]
    env = {"VISIONPIPE_API_KEY": sandbox.key}
    done = visionpipe("caption", "in", *both, *address, folder=folder, env=env)
    assert done.returncode == 0, done.stderr
    assert lines(folder / "out.jsonl")["0.png"]["caption"] == ANSWER["caption"]
    assert (folder / "in/0.txt").read_text() == f"{JOINED}\n"


def test_in_the_library(folder: Path, sandbox: SandboxHandle) -> None:
    with Client("glm-4.6v", base_url=f"bigmodel+{sandbox.base_url}", api_key=sandbox.key) as client:
        for asked in ([presets.caption, presets.tags], presets.together(presets.caption, presets.tags)):
            found = list(Pipeline(asked, client=client, journal=folder / "j").run(folder / "in"))
            assert [(one.caption, one.data) for one in found] == [(ANSWER["caption"], ANSWER)] * 3
    assert chats(sandbox) == 3


def test_what_cannot_be_asked_together_is_refused(folder: Path, sandbox: SandboxHandle) -> None:
    (folder / "schema.json").write_text("{}")
    assert "a preset stands twice" in caption(folder, sandbox, "--preset", "tags", status=2)
    assert "a schema of their own" in caption(folder, sandbox, "--schema", "schema.json", status=2)
    assert "--prompt, --preset" in caption(folder, sandbox, "-p", "What?", status=2)
    assert chats(sandbox) == 0
    alone = visionpipe("caption", SAMPLES, "--preset", "caption", "--preset", "tags", folder=folder)
    assert alone.returncode == 2
    assert "the presets caption" in alone.stderr
    assert "one at a time" in alone.stderr
