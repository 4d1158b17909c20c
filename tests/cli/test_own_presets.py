"""Presets of one's own, a list of failures, and what a journal holds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.commands import Here, here, lines
from tests.client.faces import KEY, chat
from tests.loopback import Loopback
from visionpipe.client.settings import own_presets
from visionpipe.errors import ConfigurationError
from visionpipe.testing.images import jpeg_bytes

GATEWAY = {"VISIONPIPE_API_KEY": KEY}


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


def test_a_preset_of_ones_own_is_asked(run: Here, tmp_path: Path, loopback: Loopback) -> None:
    (tmp_path / "visionpipe.toml").write_text(
        '[preset.botany]\nprompt = "Name the plant."\nmax_characters = 60\none_line = true\n'
    )
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes(40, 30))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8nothing")
    loopback.script(chat("A daisy."))
    against = ["--base-url", f"bigmodel+{loopback.url}", "--model", "glm-4.6v"]
    outputs = ["-o", "out.jsonl", "-o", "failures.csv"]
    command = ["caption", "a.jpg", "bad.jpg", *outputs, "--preset", "botany"]
    done = run(*command, *against, folder=tmp_path, env=GATEWAY)
    assert done.returncode == 1, done.stderr
    assert b"Name the plant." in loopback.requests[0].body
    assert lines(tmp_path / "out.jsonl")["a.jpg"]["caption"] == "A daisy."
    [failure] = csv.DictReader((tmp_path / "failures.csv").read_text("utf-8").splitlines())
    assert failure["path"] == "bad.jpg"
    assert failure["reason"]
    assert failure["cure"].endswith(".")
    status = run("journal", "status", "out.jsonl.journal", folder=tmp_path)
    assert status.returncode == 0, status.stderr
    assert "glm-4.6v: 1 done, 1 failed" in status.stdout
    assert "prompt: Name the plant." in status.stdout
    assert "run 1 has ended: complete" in status.stdout
    assert run("journal", "status", "gone", folder=tmp_path).returncode == 1


def test_a_slip_in_a_name_is_answered_with_it(run: Here, tmp_path: Path) -> None:
    (tmp_path / "visionpipe.toml").write_text('[preset.botany]\nprompt = "Name the plant."\n')
    done = run("caption", tmp_path, "--preset", "botanny", folder=tmp_path)
    assert done.returncode == 2
    assert "Did you mean botany?" in done.stderr


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("prompt = 7", "prompt: Input should be a valid string"),
        ('prompt = "x"\nsize = 3', "size: Extra inputs are not permitted"),
        ('prompt = "x"\nschema = "gone.json"', "No such file"),
        ("max_tokens = 3", "prompt: Field required"),
    ],
)
def test_a_preset_that_cannot_be_is_named(tmp_path: Path, table: str, words: str) -> None:
    (tmp_path / "visionpipe.toml").write_text(f"[preset.mine]\n{table}\n")
    with pytest.raises(ConfigurationError, match=f"preset mine: .*{words}"):
        own_presets(tmp_path)


def test_a_preset_may_have_a_schema_and_two_languages(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "object"}')
    text = '[preset.mine]\nprompt = "What?"\nprompt_zh = "什么？"\nschema = "s.json"\n'
    (tmp_path / "visionpipe.toml").write_text(text, encoding="utf-8")
    mine = own_presets(tmp_path)["mine"]
    assert (mine.text("en"), mine.text("zh"), mine.schema) == ("What?", "什么？", {"type": "object"})
    assert own_presets(tmp_path / "elsewhere") == {}
