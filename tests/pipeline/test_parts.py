"""Results as immutable Parquet parts: what is stored counts, rows are merged by id, writers need no lock."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.s3_store import S3Store
from visionpipe.errors import ConnectionFailedError, OutputError, VisionPipeError
from visionpipe.files.stores import LocalFolder, open_store
from visionpipe.pipeline.ledger import Key, Sent
from visionpipe.pipeline.part_writer import PartsLedger
from visionpipe.pipeline.parts import Parts
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.stages.keys import Recipe
from visionpipe.values import Adjustment, Money, Note, Usage

RECIPE = Recipe("m", "What is it?")
QUESTION = RECIPE.question("What is it?")


def done(name: str, caption: str = "A cat.") -> ItemResult:
    return ItemResult(
        name,
        Outcome.DONE,
        caption=caption,
        data={"a": [1, None]},
        model="m",
        usage=Usage(10, 5, 1, 2),
        cost=Money(Decimal("0.0015"), "CNY"),
        adjustments=(Adjustment("resized", name, "2x2 -> 1x1"),),
        notes=(Note("truncated", "…"),),
        attempts=1,
        sha256="0" * 64,
        seconds=0.5,
    )


def failed(name: str, *, retryable: bool) -> ItemResult:
    failure = Failure("ServerError", "500", "it broke", "Try again.", retryable)
    return ItemResult(name, Outcome.FAILED, failure=failure, attempts=1)


def record(ledger: PartsLedger, *results: ItemResult, content: str = "c") -> None:
    """All at once, as threads do."""
    threads = [
        threading.Thread(
            target=ledger.record, args=(Key(r.source, QUESTION, content), r, [Sent(0.1, tokens=15)])
        )
        for r in results
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def opened(address: str, options: dict[str, Any] | None = None, **more: Any) -> PartsLedger:
    ledger = PartsLedger(address, options=options, **more)
    ledger.begin(RECIPE)
    return ledger


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any] | None]:
    if request.param == "local":
        return f"{tmp_path}/out/", None
    store: S3Store = request.getfixturevalue("s3_store")
    return f"s3://{store.bucket}/out/", store.options


def test_a_result_comes_back_as_it_was_recorded_also_in_another_run(
    place: tuple[str, dict[str, Any] | None],
) -> None:
    first = opened(*place)
    results = [done("a"), done("b"), failed("c", retryable=True), failed("d", retryable=False)]
    record(first, *results)
    found = first.recorded("a", QUESTION)
    assert found is not None
    assert (found.result, found.content, found.run) == (results[0], "c", 1)
    first.end("complete")
    second = opened(*place)
    for result in results:
        found = second.recorded(result.source, QUESTION)
        assert found is not None
        assert (found.result, found.run) == (result, 0)
    assert second.recorded("e", QUESTION) is None
    assert (second.spent(job=RECIPE.job).requests, second.spent().tokens) == (4, 60)
    second.close()


def test_of_several_rows_a_final_one_counts_and_then_the_newest(
    place: tuple[str, dict[str, Any] | None],
) -> None:
    for caption in ("old", "new"):
        ledger = opened(*place)
        record(ledger, done("a", caption), failed("b", retryable=True))
        ledger.close()
    ledger = opened(*place)
    record(ledger, failed("a", retryable=True), done("b", "at last"))
    ledger.close()
    store = open_store(*place)
    parts = Parts(store)
    counted = {result.source: result.caption for result in parts.results()}
    assert counted == {"a": "new", "b": "at last"}
    merged = parts.merge()
    assert (merged.rows, merged.parts) == (2, 1)
    assert {r.source: r.caption for r in Parts(store).results()} == counted
    more = opened(*place)
    assert [more.recorded(name, QUESTION) is not None for name in "abc"] == [True, True, False]
    record(more, done("c"))
    more.close()
    assert {r.source for r in Parts(store).results()} == {"a", "b", "c"}


def test_each_version_of_an_item_is_kept_and_the_newest_is_shown(
    place: tuple[str, dict[str, Any] | None],
) -> None:
    ledger = opened(*place)
    record(ledger, done("a", "first"), content="1")
    record(ledger, done("a", "second"), content="2")
    ledger.close()
    store = open_store(*place)
    for _ in range(2):
        assert [r.caption for r in Parts(store).results()] == ["second"]
        again = opened(*place)
        found = [again.recorded("a", QUESTION, content) for content in (None, "1", "2", "3")]
        again.close()
        assert [one and one.result.caption for one in found] == ["second", "first", "second", None]
        Parts(store).merge()


def test_parts_of_before_are_read_on(tmp_path: Path) -> None:
    """Their ids were of item and question alone."""
    address = f"{tmp_path}/out/"
    ledger = opened(address)
    record(ledger, done("a"), done("b"))
    ledger.close()
    path, *_ = paths = sorted(tmp_path.glob("out/parts/*/*.parquet"))
    table = pa.concat_tables([pq.read_table(each) for each in paths])
    ids = [
        hashlib.blake2b(f"{key}\0{QUESTION}".encode(), digest_size=16).digest()
        for key in table["key"].to_pylist()
    ]
    for each in paths[1:]:
        each.unlink()
    pq.write_table(table.set_column(0, "id", pa.array(ids, pa.binary(16))), path)
    more = opened(address)
    found = more.recorded("a", QUESTION, "c")
    assert found is not None and found.result == done("a")
    record(more, done("a", "again"))
    more.close()
    merged = Parts(open_store(address)).merge()
    assert merged.rows == 2
    assert {r.source: r.caption for r in Parts(open_store(address)).results()} == {
        "a": "again",
        "b": "A cat.",
    }


def test_of_two_merges_at_once_one_is_refused_and_nothing_is_lost(
    place: tuple[str, dict[str, Any] | None],
) -> None:
    ledger = opened(*place)
    record(ledger, done("a"))
    ledger.close()
    one, other = Parts(open_store(*place)), Parts(open_store(*place))
    one.merge()
    with pytest.raises(OutputError, match="another merge"):
        other.merge()
    assert [r.source for r in Parts(open_store(*place)).results()] == ["a"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_merge_that_is_killed_changes_nothing_that_is_read(
    place: tuple[str, dict[str, Any] | None], at: int
) -> None:
    """Between two merged parts, before the manifest, and right after it."""
    address, options = place
    ledger = opened(address, options)
    record(ledger, *[done(f"{number}") for number in range(8)])
    ledger.close()
    before = {r.source: r.caption for r in Parts(open_store(address, options)).results()}
    script = """
import os, sys
from visionpipe.files.stores import open_store
from visionpipe.pipeline import parts
parts.ROWS_A_MERGED_PART = 5
store, left = open_store(sys.argv[1], eval(sys.argv[2])), int(sys.argv[3])
stored = store.put
def put(*given, **more):
    global left
    done = stored(*given, **more)
    left -= 1
    if not left:
        os.kill(os.getpid(), 9)
    return done
store.put = put
parts.Parts(store).merge()
"""
    command = [sys.executable, "-c", script, address, repr(options), str(at)]
    assert subprocess.run(command, check=False).returncode == -9
    store = open_store(address, options)
    assert {r.source: r.caption for r in Parts(store).results()} == before
    merged = Parts(store).merge(prune=True, now=lambda: time.time() + 90_000)
    assert merged.rows == 8
    # What the killed one left is gone a day later, and what its manifest replaced.
    assert len({found.name.split("/")[1] for found in store.find("merged")}) == 1
    assert {r.source: r.caption for r in Parts(store).results()} == before


def test_replaced_parts_are_removed_a_day_later(tmp_path: Path) -> None:
    address = f"{tmp_path}/out/"
    ledger = opened(address)
    record(ledger, done("a"))
    ledger.close()
    Parts(open_store(address)).merge(now=lambda: 1_000.0)
    assert Parts(open_store(address)).merge(prune=True, now=lambda: 80_000.0).removed == 0
    for name, at in (("b", 90_000.0), ("c", 100_000.0)):
        more = opened(address)
        record(more, done(name))
        more.close()
        Parts(open_store(address)).merge(now=lambda at=at: at)  # type: ignore[misc]  # bound to its round
    kept = {found.name for found in open_store(address).find("parts")}
    assert len(kept) == 3
    # What the first replaced is a day old, and what the second did is, too; the third's is not.
    assert Parts(open_store(address)).merge(prune=True, now=lambda: 180_000.0).removed == 3
    assert len(list(open_store(address).find("parts"))) == 1
    assert {r.source for r in Parts(open_store(address)).results()} == {"a", "b", "c"}
    last = Parts(open_store(address)).merge(prune=True, now=lambda: 200_000.0)
    assert (last.rows, last.removed) == (3, 2)
    assert len(list(open_store(address).find("merged"))) == 1
    assert {r.source for r in Parts(open_store(address)).results()} == {"a", "b", "c"}


def test_a_place_that_cannot_be_written_is_an_error_at_once(s3_store: S3Store, tmp_path: Path) -> None:
    with pytest.raises(VisionPipeError):
        PartsLedger("s3://no-such-bucket-here/out/", options=s3_store.options)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        PartsLedger(f"{tmp_path}/file/out/")


def test_answers_wait_for_a_store_that_is_away_and_nothing_new_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    ledger = opened(f"{tmp_path}/out/", outage_seconds=60.0, clock=lambda: time.monotonic() + now[0])
    put, away = LocalFolder.put, threading.Event()
    away.set()
    met = threading.Event()

    def stored(store: LocalFolder, *given: Any, **more: Any) -> bool:
        if away.is_set():
            met.set()
            raise ConnectionFailedError("the store is out of reach", cure="", subject="x")
        return put(store, *given, **more)

    monkeypatch.setattr(LocalFolder, "put", stored)
    waiting = threading.Thread(target=record, args=(ledger, done("a"), done("b")), daemon=True)
    waiting.start()
    assert met.wait(10)
    sending = threading.Thread(target=ledger.sending, args=(Key("c", QUESTION, "c"), None, None), daemon=True)
    sending.start()
    sending.join(0.1)
    assert sending.is_alive() and waiting.is_alive()
    away.clear()
    sending.join(10)
    waiting.join(10)
    assert {r.source for r in Parts(open_store(f"{tmp_path}/out/")).results()} == {"a", "b"}
    away.set()
    met.clear()
    failure: list[VisionPipeError] = []

    def record_d() -> None:
        try:
            ledger.record(Key("d", QUESTION, "c"), done("d"))
        except ConnectionFailedError as error:
            failure.append(error)

    lost = threading.Thread(target=record_d, daemon=True)
    lost.start()
    assert met.wait(10)
    now[0] = 61.0
    with pytest.raises(ConnectionFailedError, match="nothing can be stored since 6") as caught:
        ledger.sending(Key("e", QUESTION, "c"), None, None)
    assert caught.value.scope == "job"
    lost.join(10)
    assert [error.scope for error in failure] == ["job"]
    with pytest.raises(ConnectionFailedError, match="1 results could not be stored"):
        ledger.close()


def test_many_rows_are_found_again_after_they_were_folded(tmp_path: Path) -> None:
    ledger = opened(f"{tmp_path}/out/", every_s=0.0)
    for number in range(21_000):
        ledger.record(Key(f"i{number}", QUESTION, "c"), failed(f"i{number}", retryable=False))
    ledger.close()
    assert all(ledger.recorded(f"i{number}", QUESTION) is not None for number in range(0, 21_000, 997))
    assert len(Parts(open_store(f"{tmp_path}/out/")).index()) == 21_000


def test_what_a_killed_writer_left_on_its_disk_is_stored_by_the_next(
    place: tuple[str, dict[str, Any] | None], tmp_path: Path
) -> None:
    """The writer dies between its own record of an answer and the part that would have held it."""
    script = """
import os, sys, threading
from tests.pipeline.test_parts import opened, done, record
ledger = opened(sys.argv[1], eval(sys.argv[2]), state=sys.argv[3])
recorded = threading.Event()
def put(*given, **more):
    recorded.wait()
    os.kill(os.getpid(), 9)
ledger._store.put = put
record(ledger, done("a"), done("b"), done("c"))
recorded.set()
threading.Event().wait()
"""
    address, options = place
    command = [sys.executable, "-c", script, address, repr(options), f"{tmp_path}/state"]
    assert subprocess.run(command, check=False).returncode == -9
    assert list(tmp_path.glob("state/*/*.unsent"))
    ledger = opened(address, options, state=f"{tmp_path}/state")
    found = [ledger.recorded(name, QUESTION) for name in "abc"]
    assert [one and one.result for one in found] == [done("a"), done("b"), done("c")]
    assert ledger.spent().requests == 3
    # One that is at work is left alone.
    other = opened(address, options, state=f"{tmp_path}/state")
    other.close()
    ledger.close()
    assert not list(tmp_path.glob("state/*/*"))
    assert Parts(open_store(address, options)).merge().rows == 3
