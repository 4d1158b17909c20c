"""A sample is random, and what it says of the whole is true as often as it claims."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cli.commands import Here, here, lines
from tests.client.faces import KEY
from visionpipe.cli.sample import Projection, drawn, projected
from visionpipe.sources.find import Found, SkippedSource, Source
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import SandboxHandle

LISTING: list[Found] = [Source(str(n), str(n)) for n in range(40)]


def test_a_sample_keeps_the_order_and_counts_the_sources() -> None:
    found, total = drawn([SkippedSource("x", "video"), *LISTING], 10, seed=1)
    numbers = [int(one.name) for one in found]
    assert (len(numbers), total) == (10, 40)
    assert numbers == sorted(set(numbers))
    assert drawn(LISTING, 10, seed=1)[0] == found
    assert drawn(LISTING, 99, seed=1) == (LISTING, 40)


def test_each_source_is_as_likely() -> None:
    met = [0] * 40
    for seed in range(2000):
        for one in drawn(LISTING, 10, seed)[0]:
            met[int(one.name)] += 1
    assert min(met) > 400
    assert max(met) < 600


def test_the_interval_holds_as_often_as_it_says() -> None:
    chance = random.Random(5)
    costs = [chance.lognormvariate(0, 0.5) for _ in range(1000)]
    held = 0
    for seed in range(200):
        found = projected(random.Random(seed).sample(costs, 100), 1000)
        assert found is not None
        held += found.low <= sum(costs) <= found.high
    assert 180 <= held <= 200


def test_a_sample_of_all_leaves_no_doubt_and_one_item_tells_nothing() -> None:
    assert projected([1.0, 3.0], 2) == Projection(4.0, 4.0, 4.0)
    assert projected([1.0], 9) is None
    wide = projected([10.0, 11.0, 12.0], 1000)
    assert wide is not None
    assert wide.high - wide.low == pytest.approx(2 * 4.303 * 1000 / 3**0.5, rel=0.05)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


def test_a_sample_says_what_the_whole_would_cost(run: Here, tmp_path: Path, sandbox: SandboxHandle) -> None:
    (tmp_path / "in").mkdir()
    for n in range(12):
        (tmp_path / "in" / f"{n:02}.jpg").write_bytes(jpeg_bytes(60 + 40 * n, 60))
    env = {"VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}", "VISIONPIPE_API_KEY": sandbox.key}
    command = ["caption", "in", "-o", "out.jsonl", "--model", "glm-4.6v"]
    done = run(*command, "--sample", "5", folder=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len(lines(tmp_path / "out.jsonl")) == 5
    assert "5 items: 5 done" in done.stderr
    assert "all 12 images would cost about 0.0" in done.stderr
    whole = run(*command, folder=tmp_path, env=env)
    assert "kept from earlier runs: 5" in whole.stderr
    assert KEY not in whole.stderr
