"""Poor answers on the command line: what is no answer is no caption, and notes are counted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import visionpipe
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle

REFUSAL = "I'm sorry, I can't help with identifying this person."


def captions(sandbox: SandboxHandle, folder: Path, *more: str) -> tuple[int, str, list[dict[str, object]]]:
    """Exit status, last lines and records of a job over three pictures, each with an answer of its own."""
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    for number in range(3):
        (photos / f"{number}.jpg").write_bytes(image_bytes("jpeg", 40 + number, 30))
    done = visionpipe(
        "caption",
        "photos",
        "--base-url",
        f"bigmodel+{sandbox.base_url}",
        "--model",
        "glm-4.6v",
        "--concurrency",
        "1",
        *more,
        folder=folder,
        env={"VISIONPIPE_API_KEY": sandbox.key},
    )
    written = folder / "captions.jsonl"
    records = [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []
    return done.returncode, done.stderr, records


def test_a_refusal_is_asked_about_once_more_and_is_no_caption(tmp_path: Path, sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"answer": [{"text": REFUSAL}]})
    status, said, records = captions(sandbox, tmp_path)
    assert status == 1, said
    assert "failed, quality: 3" in said
    assert "noted, refusal: 3" in said
    assert [record["caption"] for record in records] == [None] * 3
    assert sandbox.stats()["requests"] == 6


def test_who_wants_refusals_keeps_them_with_a_note(tmp_path: Path, sandbox: SandboxHandle) -> None:
    sandbox.set_scenario({"answer": [{"text": REFUSAL}]})
    status, said, records = captions(sandbox, tmp_path, "--quality", "refusal=keep")
    assert status == 0, said
    assert "noted, refusal: 3" in said
    assert [record["caption"] for record in records] == [REFUSAL] * 3
    assert sandbox.stats()["requests"] == 3


def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    tmp_path: Path, sandbox: SandboxHandle
) -> None:
    for given in ("refusal", "refusal=drop", "rudeness=fail"):
        status, said, records = captions(sandbox, tmp_path, "--quality", given)
        assert status == 2
        assert given in said
        assert "Give KIND=ACTION" in said
        assert records == []
    assert sandbox.stats()["requests"] == 0
