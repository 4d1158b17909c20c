"""The catalog in words."""

from __future__ import annotations

import pytest

from visionpipe.registry.lookup import Registry
from visionpipe.registry.table import (
    bytes_text,
    endpoint_rows,
    markdown_table,
    model_rows,
    tokens_text,
)

REGISTRY = Registry.load()
ROWS = {row.model: row for row in model_rows(REGISTRY)}


def test_every_model_has_a_row_and_stand_ins_only_on_request() -> None:
    assert list(ROWS) == [record.id for record in REGISTRY.models() if record.state != "generic"]
    everything = [row.model for row in model_rows(REGISTRY, generic=True)]
    assert everything == [record.id for record in REGISTRY.models()]


def test_a_row_says_the_limits() -> None:
    row = ROWS["glm-4v-plus-0111"]
    assert row.images == "5"
    assert row.image_limit == "5 MiB, 6000 px, jpeg/png"
    assert row.video == "< 200 MiB, mp4, first part"
    assert row.context == "?"
    assert row.output == "8K"
    assert row.price == "¥4 / ¥4"


def test_what_is_free_tiered_unknown_or_charged_in_one_place_is_said() -> None:
    assert ROWS["glm-4v-flash"].price == "free"
    assert ROWS["glm-4v-flash"].images == "1, by URL"
    assert ROWS["glm-4v-plus"].video == "< 20 MiB, <= 30 s, mp4"
    assert ROWS["glm-4.6v"].price == "¥1 / ¥3 up to 32K; ¥2 / ¥6 up to 128K (bigmodel); $0.3 / $0.9 (zai)"
    assert ROWS["glm-5v-turbo"].price == "¥5 / ¥22 up to 32K; ¥7 / ¥26 (bigmodel); $1.2 / $4 (zai)"
    assert ROWS["glm-4v-plus"].price == "?"
    assert ROWS["glm-4.6v"].tools == "function"
    assert ROWS["glm-4v"].video == "-"


def test_a_model_without_images_and_with_another_currency() -> None:
    registry = REGISTRY.with_records(
        {
            "model": [
                {
                    "id": "reader",
                    "images": False,
                    "prices": [{"input": "0.10", "output": 1, "currency": "CHF"}],
                }
            ]
        },
        "a test",
    )
    row = next(row for row in model_rows(registry) if row.model == "reader")
    assert (row.images, row.image_limit, row.endpoints) == ("-", "-", "-")
    assert row.price == "CHF 0.1 / CHF 1"


def test_endpoints_say_their_keys_and_surfaces() -> None:
    rows = {row.endpoint: row for row in endpoint_rows(REGISTRY)}
    assert rows["bigmodel"].key == "BIGMODEL_API_KEY, ZHIPUAI_API_KEY"
    assert rows["bigmodel"].surfaces.startswith("chat, tasks, batches")
    assert rows["zai"].surfaces == "chat, files, tokenizer"
    assert (rows["ollama"].key, rows["ollama"].default_model) == ("-", "-")


def test_the_markdown_table_is_whole() -> None:
    lines = markdown_table(model_rows(REGISTRY)).splitlines()
    assert lines[0].startswith("| model | state | images | image limit |")
    assert len(lines) == len(ROWS) + 2
    assert len({line.count(" | ") for line in lines}) == 1
    assert markdown_table([]) == ""


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    registry = REGISTRY.with_records({"model": [{"id": "a|b"}]}, "a test")
    rows = [row for row in model_rows(registry) if row.model == "a|b"]
    assert "| a\\|b |" in markdown_table(rows)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"),
        (131_072, "128K"),
        (200_000, "200K"),
        (1_000_000, "1M"),
        (128_000, "128K"),
        (1030, "1,030"),
        (512, "512"),
    ],
)
def test_tokens_are_said_as_people_say_them(count: int | None, text: str) -> None:
    assert tokens_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(5 * 2**20, "5 MiB"), (2**30, "1 GiB"), (2048, "2 KiB"), (5_000_000, "5,000,000 B")],
)
def test_bytes_are_said_in_whole_units(count: int, text: str) -> None:
    assert bytes_text(count) == text
