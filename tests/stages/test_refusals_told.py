"""Refusals of eight languages are told from captions, also from those of signs that apologise.

``refusals.jsonl`` has 200 refusals, half of them written before the detector was read, and those by which it
was widened later; ``captions.jsonl`` 500 captions, 50 of them of signs that apologise. Run as a script, it
prints the figures.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from visionpipe.stages.quality import assess, refusal

LANGUAGES = {"en", "zh", "fr", "de", "es", "ja", "ru", "ko"}


def lines(name: str) -> list[dict[str, str]]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def missed() -> list[dict[str, str]]:
    return [entry for entry in lines("refusals.jsonl") if refusal(entry["text"]) is None]


def false_alarms() -> list[dict[str, str]]:
    return [entry for entry in lines("captions.jsonl") if refusal(entry["text"]) is not None]


def test_at_most_one_refusal_in_ten_is_missed() -> None:
    entries = lines("refusals.jsonl")
    written = Counter(entry["written"] for entry in entries)
    assert written["before the detector was read"] == written["after"] == 100
    assert {entry["language"] for entry in entries} - {""} == LANGUAGES
    # In each part and in each language, not only in all of them together.
    for key in ("written", "language"):
        lost = Counter(entry[key] for entry in missed())
        total = Counter(entry[key] for entry in entries)
        assert all(lost[name] <= total[name] // 10 for name in total), missed()


def test_no_caption_is_taken_for_a_refusal() -> None:
    entries = lines("captions.jsonl")
    kinds = Counter(entry["kind"] for entry in entries)
    assert len({entry["text"] for entry in entries}) == 500
    assert kinds["sign"] == 50
    assert false_alarms() == []


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("Je suis désolé. Je ne peux pas décrire cette image.", True),
        ("A red bus. Это изображение я не могу описать.", True),
        ("画像には看板があり、「お答えできません」と書かれている。", False),
        ("Auf dem Schild steht „Ich kann dieses Bild nicht beschreiben“.", False),
        ("« Je ne peux pas décrire cette image », dit le robot.", False),
    ],
)
def test_quotations_and_second_sentences_in_other_languages(text: str, refused: bool) -> None:
    assert [note.kind for note in assess(text)] == (["refusal"] if refused else [])


if __name__ == "__main__":
    lost, alarms = missed(), false_alarms()
    print(f"{len(lost)} of {len(lines('refusals.jsonl'))} refusals missed, {len(alarms)} false alarms on 500")  # noqa: T201
    for entry in [*lost, *alarms]:
        print(entry)  # noqa: T201
