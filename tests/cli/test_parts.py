"""Shards of a job, and the options of a directory of parts."""

from __future__ import annotations

import pytest

from visionpipe.cli.parts import every_s, is_parts, shard_of
from visionpipe.errors import ParameterError

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
