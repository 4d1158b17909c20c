"""Recipes, fingerprints, prompts, judges and summaries."""

from __future__ import annotations

import hashlib
import io
import os
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image as pillow

from tests.pipeline.answering import folder_of
from visionpipe.errors import BadImageError, ParameterError, UnreadableSourceError, UnsupportedError
from visionpipe.images.hashes import dhash
from visionpipe.pipeline.answerer import Answer
from visionpipe.pipeline.channel import Closed
from visionpipe.pipeline.contents import fingerprint, stat_of, stat_seen
from visionpipe.pipeline.events import STOP_WORDS, RunSummary, Tally
from visionpipe.pipeline.job_setup import judge_by, prompt_text, renderer
from visionpipe.prompts import presets
from visionpipe.prompts.template import Template
from visionpipe.reply import Reply
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.sources.find import Source
from visionpipe.stages.keys import Recipe, content_of_link, is_link, sha256_of
from visionpipe.stages.quality_policy import QualityPolicy
from visionpipe.testing.images import image_bytes, jpeg_bytes
from visionpipe.values import Money, Note, Usage


def test_a_question_changes_with_whatever_changes_an_answer() -> None:
    base = Recipe("m", "t", {"temperature": 0.1})
    questions = {
        base.question("p"),
        base.question("q"),
        Recipe("n", "t", {"temperature": 0.1}).question("p"),
        Recipe("m", "t", {"temperature": 0.2}).question("p"),
        Recipe("m", "t", {"temperature": 0.1}, {"type": "object"}).question("p"),
    }
    assert len(questions) == 5
    assert Recipe("m", "t", {"temperature": 0.1}, preparation=99).question("p") == base.question("p")
    assert Recipe("m", "another", {"temperature": 0.1}).question("p") == base.question("p")
    assert Recipe("m", "another", {"temperature": 0.1}).job != base.job


def test_a_files_content_is_its_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    path = tmp_path / "a"
    path.write_bytes(data)
    content, seen = fingerprint(str(path))
    assert content == hashlib.sha256(data).hexdigest() == sha256_of(content)
    assert stat_seen(seen) == stat_of(str(path))
    assert seen.size == len(data)


def test_a_file_too_large_for_a_picture_is_refused_unread(tmp_path: Path) -> None:
    for name, head in (("a.png", b""), ("b.png", image_bytes("png")), ("c.bin", b"\x80\x81")):
        path = tmp_path / name
        path.write_bytes(head)
        os.truncate(path, 1 << 40)
        with pytest.raises(BadImageError) as caught:
            fingerprint(str(path), lambda: True)
        assert caught.value.subject == str(path)


def test_a_stop_is_heeded_while_a_large_file_is_read(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypmp42")
    os.truncate(clip, 1 << 40)
    asked = []

    def is_over() -> bool:
        asked.append(True)
        return len(asked) == 3

    with pytest.raises(Closed):
        fingerprint(str(clip), is_over)
    assert len(asked) == 3


def test_a_links_content_is_its_address() -> None:
    assert is_link("HTTPS://example.org/a.jpg")
    assert not is_link("https.jpg")
    link = content_of_link("https://example.org/a.jpg")
    assert link != content_of_link("https://example.org/b.jpg")
    assert sha256_of(link) is None


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for attempt in (stat_of, fingerprint):
        with pytest.raises(UnreadableSourceError):
            attempt(str(tmp_path / "gone"))
    with pytest.raises(UnreadableSourceError):
        fingerprint(str(tmp_path))


def test_words_are_taken_as_they_are() -> None:
    source = Source("a.jpg", "a.jpg")
    assert renderer("Braces {stay}.", "en")(source) == "Braces {stay}."
    assert renderer(presets.alt_text, "zh")(source) == presets.alt_text.text("zh")
    assert prompt_text(Template("In {path.folder}"), "en") == "In {path.folder}"


def test_fields_come_from_path_column_exif_and_sidecar(tmp_path: Path) -> None:
    exif = pillow.Exif()
    exif[272] = "Box Camera"
    picture = io.BytesIO()
    pillow.new("RGB", (8, 8)).save(picture, "jpeg", exif=exif)
    path = tmp_path / "a.jpg"
    path.write_bytes(picture.getvalue())
    source = Source("mugs/a.jpg", str(path), {"colour": "red"})
    template = Template("{path.folder} {colour} {exif.Model} {sidecar}")
    with pytest.raises(ParameterError, match="sidecar"):
        renderer(template, "en")(source)
    (tmp_path / "a.txt").write_text("a mug\n")
    assert renderer(template, "en")(source) == "mugs red Box Camera a mug"
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.json").write_text('{"title": "Mug"}')
    assert renderer(Template("{sidecar.title}"), "en")(source) == "Mug"
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UnreadableSourceError, match="sidecar"):
        renderer(Template("{sidecar.title}"), "en")(source)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ParameterError):
        renderer(Template("{sidecar.title}"), "en")(source)


def test_a_judge_follows_its_policy() -> None:
    judge = judge_by(QualityPolicy(refusal="fail"), None, None)
    refusing = judge(Answer(Reply("I can't help with identifying this person.", "m")), False)
    assert refusing.action == "fail"
    assert [note.kind for note in refusing.notes] == ["refusal"]
    sign = judge(Answer(Reply('A sign reads "I\'m sorry, we are closed".', "m")), False)
    assert (sign.action, sign.notes) == ("keep", ())
    known = Reply("Cut of", "m", finish_reason="length", notes=(Note("truncated", "told before"),))
    assert judge(Answer(known), False).notes == ()


def test_a_tally_counts_tokens_once() -> None:
    tally = Tally()
    done = ItemResult("a", Outcome.DONE, usage=Usage(10, 5))
    tally.count(done, kept=False)
    tally.count(done, kept=True)
    tally.count(ItemResult("b", Outcome.DONE, duplicate_of="a"), kept=False)
    tally.count(ItemResult("c", Outcome.SKIPPED, reason="hidden"), kept=False)
    failure = Failure("ServerError", "1234", "failed", "Again.")
    tally.count(ItemResult("d", Outcome.FAILED, failure=failure), kept=False)
    assert (tally.done, tally.failed, tally.skipped, tally.kept, tally.duplicates) == (3, 1, 1, 1, 1)
    assert tally.usage == Usage(10, 5)
    assert tally.ended == 5
    assert (tally.failures, tally.skips) == ({"1234": 1}, {"hidden": 1})


def test_reasons_without_number_are_gathered() -> None:
    tally = Tally()
    for number in range(500):
        tally.count(ItemResult("x", Outcome.SKIPPED, reason=f"reason {number}"), kept=False)
    assert len(tally.skips) == 101
    assert sum(tally.skips.values()) == 500


def test_the_last_lines_account_for_everything() -> None:
    summary = RunSummary(
        seen=10,
        done=5,
        failed=2,
        skipped=1,
        kept=1,
        not_started=2,
        duplicates=1,
        failures={"1210": 2},
        skips={"hidden": 1},
        requests=6,
        refusals=3,
        usage=Usage(100, 20),
        cost=(Money(Decimal("0.5"), "CNY"),),
        seconds=1.25,
        stopped="error",
        error=Failure("AccountError", "1113", "no balance", "Top up.", scope="job"),
        maybe_billed_twice=1,
    )
    assert summary.lines() == [
        "10 items: 5 done, 2 failed, 1 skipped, 2 not started, in 1.2 s",
        "kept from earlier runs: 1",
        "answered by a duplicate: 1",
        "failed, 1210: 2",
        "skipped, hidden: 1",
        "requests: 6, tokens: 100 in, 20 out, 0.5 CNY",
        "refused for now (429) and sent again: 3",
        "under way when an earlier run was killed, maybe billed twice: 1",
        "stopped: no balance. Top up.",
    ]
    assert summary.to_json()["cost"] == [{"amount": "0.5", "currency": "CNY"}]
    assert not summary.ok
    assert RunSummary(seen=1, done=1).ok


@pytest.mark.parametrize("reason", ["budget", "deadline", "stopped", "aborted", "waiting"])
def test_the_last_lines_say_why_a_run_stopped(reason: str) -> None:
    first, spent, last = RunSummary(seen=1, not_started=1, stopped=reason, seconds=0.5).lines()
    assert first == "1 item: 0 done, 1 not started, in 0.5 s"
    assert spent == "requests: 0, nothing to pay"
    assert last == f"stopped: {STOP_WORDS[reason]}; the same command goes on from here"


def test_a_look_survives_scaling_encoding_and_turning(tmp_path: Path) -> None:
    plain = dhash(jpeg_bytes(640, 480))
    assert (plain ^ dhash(jpeg_bytes(320, 240, quality=50))).bit_count() <= 2
    assert (plain ^ dhash(image_bytes("png", 640, 480))).bit_count() <= 2
    path = folder_of(tmp_path, a="") / "a.jpg"
    path.write_bytes(jpeg_bytes(640, 480, orientation=6))
    assert (plain ^ dhash(path)).bit_count() <= 2
    ramp = pillow.linear_gradient("L").rotate(90)
    other = io.BytesIO()
    ramp.save(other, "png")
    assert (plain ^ dhash(other.getvalue())).bit_count() > 11


def test_a_link_has_no_look() -> None:
    with pytest.raises(UnsupportedError):
        dhash("https://example.org/a.jpg")
