"""Jobs without a key: what the engine cannot do is refused before, and what it cannot tell is left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.commands import SAMPLES, Here, here, lines
from visionpipe.errors import ConfigurationError, UnsupportedError
from visionpipe.pipeline.job_setup import refuse_purpose
from visionpipe.prompts import presets
from visionpipe.prompts.template import Template
from visionpipe.registry.lookup import Registry
from visionpipe.stages.extraction import Schema

LOCAL = Registry.load().model("visionpipe-local")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


@pytest.mark.parametrize(
    "wish",
    [["-p", "Who is it?"], ["-p", "List the colours."], ["--preset", "product"], ["--preset", "chart"]],
)
def test_what_it_cannot_do_is_refused_before_the_job(run: Here, tmp_path: Path, wish: list[str]) -> None:
    done = run("caption", SAMPLES / "coffee.png", "-o", "out.jsonl", *wish, folder=tmp_path)
    assert done.returncode == 2
    assert "Set BIGMODEL_API_KEY" in done.stderr
    assert not list(tmp_path.iterdir())


def test_text_needs_the_reader() -> None:
    with pytest.raises(ConfigurationError, match=r"needs onnxruntime.*\[ocr\]'; or: Set BIGMODEL_API_KEY"):
        refuse_purpose(LOCAL, presets.ocr, None, lambda package: package != "onnxruntime")
    refuse_purpose(LOCAL, presets.ocr, None, lambda package: True)
    refuse_purpose(LOCAL, presets.caption, None, lambda package: False)
    refuse_purpose(Registry.load().model("glm-4.6v"), Template("Who?"), None, lambda package: False)


def test_tags_are_taken_with_their_own_schema_only() -> None:
    refuse_purpose(LOCAL, presets.tags, Schema(presets.tags.schema))
    with pytest.raises(UnsupportedError, match="no prompt or schema of your own"):
        refuse_purpose(LOCAL, presets.tags, Schema({"type": "object"}))
    with pytest.raises(UnsupportedError, match="no prompt or schema of your own"):
        refuse_purpose(LOCAL, presets.caption, Schema({"type": "object"}))


def test_an_abstention_is_no_caption(run: Here, tmp_path: Path) -> None:
    """Left out with its reason, once: the same command again does not look at it again."""
    (tmp_path / "in").mkdir()
    for name in ("flower.jpg", "coffee.png"):
        shutil.copy(SAMPLES / name, tmp_path / "in" / name)
    command = ["caption", "in", "-o", "out.jsonl", "-o", "txt:", "--preset", "alt_text"]
    first = run(*command, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "2 items: 1 done, 1 skipped" in first.stderr
    assert "skipped, the local analysis cannot name the subject: 1" in first.stderr
    assert list(lines(tmp_path / "out.jsonl")) == ["coffee.png"]
    assert [path.name for path in (tmp_path / "in").glob("*.txt")] == ["coffee.txt"]
    again = run(*command, folder=tmp_path)
    assert "requests: 0" in again.stderr
    assert again.returncode == 0, again.stderr
    alone = run("caption", "in/flower.jpg", "-o", "one.jsonl", folder=tmp_path)
    assert alone.returncode == 0, alone.stderr
    said = run("describe", "in/flower.jpg", folder=tmp_path)
    assert said.stdout.startswith("A photo whose subject the local analysis cannot name")


def test_a_question_of_ones_own_is_refused_before_anything_is_looked_at(run: Here, tmp_path: Path) -> None:
    """The embedded engine follows no prompts; ``describe`` alone is its own."""
    for words in ("What colour is it?", "Write a poem."):
        said = run("describe", SAMPLES / "coffee.png", "-p", words, folder=tmp_path)
        assert (said.returncode, said.stdout) == (2, "")
        assert "follows no prompt or schema of your own" in said.stderr
        assert "Set BIGMODEL_API_KEY" in said.stderr
