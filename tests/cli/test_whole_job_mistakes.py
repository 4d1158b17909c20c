"""Mistakes of the whole job end it before it begins: exit 2, and everything is as it was."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.cli.commands import Here, here, lines
from tests.client.faces import KEY, chat, refusal
from tests.loopback import Loopback
from visionpipe.testing.images import jpeg_bytes

GATEWAY = {"VISIONPIPE_API_KEY": KEY}
OUTPUTS = ("-o", "a.jsonl", "-o", "b.csv", "-o", "c.sqlite", "-o", "txt:")


def against(server: Loopback) -> list[str]:
    return ["--base-url", f"bigmodel+{server.url}", "--model", "glm-4.6v"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


def captioned(run: Here, folder: Path, server: Loopback) -> list[str]:
    """A job of two photos, done; the command that did it."""
    (folder / "in").mkdir()
    for n, name in enumerate(("a.jpg", "b.jpg")):
        (folder / "in" / name).write_bytes(jpeg_bytes(40 + n, 30))
    server.script(chat("A caption."))
    command = ["caption", "in", *OUTPUTS, *against(server)]
    done = run(*command, folder=folder, env=GATEWAY)
    assert done.returncode == 0, done.stderr
    return command


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (["--temperature", "2"], "temperature: 2 is outside 0.0 to 1"),
        (["--temperature", "0.5", "--top-p", "0.5"], "temperature, top_p: both are set"),
        (["--max-tokens", "99999999"], "max_tokens"),
        (["--prompt", "What is the {colour}?"], "no item has the template's field {colour}"),
        (["--prompt", "{path.steam}"], "Did you mean {path.stem}?"),
        (["--budget", "5 USD"], "the price is in CNY"),
        (["--rpm", "-1"], "rpm"),
        (["--prompt", "word " * 200_000], "room for"),
        (["nope://bucket/photos/"], "this store cannot be used"),
        (["--column", "nope", "list.csv"], "no column nope"),
        (["-o", "s3://bucket/out.jsonl"], "no such file is written to s3:// addresses"),
    ],
)
def test_a_mistake_touches_nothing(
    run: Here, tmp_path: Path, loopback: Loopback, mistake: list[str], words: str
) -> None:
    command = captioned(run, tmp_path, loopback)
    (tmp_path / "list.csv").write_text("path\nin/a.jpg\n")
    before, asked = contents(tmp_path), len(loopback.requests)
    done = run(*command, *mistake, folder=tmp_path, env=GATEWAY)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert contents(tmp_path) == before
    assert len(loopback.requests) == asked


def test_a_column_of_a_list_is_a_field_another_is_a_mistake(
    run: Here, tmp_path: Path, loopback: Loopback
) -> None:
    captioned(run, tmp_path, loopback)
    (tmp_path / "list.csv").write_text("path,colour\nin/a.jpg,red\n")
    good = ["caption", "list.csv", "-o", "d.jsonl", *against(loopback)]
    assert run(*good, "-p", "How {colour}?", folder=tmp_path, env=GATEWAY).returncode == 0
    bad = run(*good, "-p", "How {color}?", folder=tmp_path, env=GATEWAY)
    assert (bad.returncode, "Did you mean {colour}?" in bad.stderr) == (2, True)


def test_a_failure_never_takes_a_good_results_place(run: Here, tmp_path: Path, loopback: Loopback) -> None:
    """Asked otherwise, or again by force: what failed leaves the caption there was, and says so."""
    command = captioned(run, tmp_path, loopback)
    good = (tmp_path / "in" / "a.txt").read_text()
    for n, more in enumerate((["-p", "Another question"], ["--force"])):
        loopback.script(refusal(400, "1301"))
        done = run(*command, *more, folder=tmp_path, env=GATEWAY)
        assert done.returncode == 1, done.stderr
        assert "failed, 1301: 2" in done.stderr
        found = lines(tmp_path / "a.jsonl")
        assert [line["caption"] for line in found.values()] == ["A caption."] * 2, n
        assert all("kept_earlier" in orjson.dumps(line["notes"]).decode() for line in found.values())
        assert (tmp_path / "b.csv").read_text().count("A caption.") == 2
        assert (tmp_path / "in" / "a.txt").read_text() == good
    loopback.script(chat("A better one."))
    assert run(*command, "--force", folder=tmp_path, env=GATEWAY).returncode == 0
    assert [line["caption"] for line in lines(tmp_path / "a.jsonl").values()] == ["A better one."] * 2
