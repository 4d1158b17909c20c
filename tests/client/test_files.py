"""Files and batches on both clients."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client.faces import Clock, refusal, setup_for
from tests.client.service_faces import Calling
from tests.client.test_tasks import sandbox_setup
from tests.loopback import Answer, Loopback
from visionpipe.client import Client
from visionpipe.errors import (
    ContentPolicyError,
    InterruptedAnswerError,
    MediaLimitError,
    OutputError,
    ParameterError,
    RejectedRequestError,
    ReplyTimeoutError,
    ServerError,
    UnreadableSourceError,
    UnsupportedError,
)
from visionpipe.files import lines_of
from visionpipe.media import FileContent
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.wire.batches import BatchFile, BatchLimits, BatchStatus
from visionpipe.wire.http import Base64Piece, Body


def test_a_file_goes_up_and_comes_back(call: Calling, sandbox: SandboxHandle, tmp_path: Path) -> None:
    setup = sandbox_setup(sandbox)
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": "\xe2\x80\xa8"}\n' * 50_000)
    file = call(setup, "files.upload", path)
    assert (file.filename, file.size, file.purpose) == ("lines.jsonl", path.stat().st_size, "batch")
    page = call(setup, "files.list", "batch", limit=1)
    assert page.items == (file,)
    call(setup, "files.save", file.id, tmp_path / "copy.jsonl")
    assert (tmp_path / "copy.jsonl").read_bytes() == path.read_bytes()
    call(setup, "files.delete", file.id)
    with pytest.raises(RejectedRequestError):
        call(setup, "files.save", file.id, tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


def test_the_list_goes_on_page_by_page(call: Calling, sandbox: SandboxHandle, tmp_path: Path) -> None:
    setup = sandbox_setup(sandbox)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n")
    ids = [call(setup, "files.upload", path, name=f"{n}.jsonl").id for n in range(3)]
    found: list[str] = []
    after = None
    while len(found) < 3:
        page = call(setup, "files.list", after=after, limit=2)
        found += [file.id for file in page.items]
        after = page.after
    assert found[:3] == ids[::-1]


def test_a_file_that_cannot_be_sent(call: Calling, loopback: Loopback, tmp_path: Path) -> None:
    big = tmp_path / "big.jsonl"
    with big.open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(MediaLimitError):
        call(setup_for(loopback), "files.upload", big)
    with pytest.raises(UnreadableSourceError):
        call(setup_for(loopback), "files.upload", tmp_path / "none.jsonl")
    with pytest.raises(UnsupportedError, match="bigmodel"):
        call({"base_url": "embedded"}, "files.list")
    assert loopback.requests == []


def test_a_download_that_breaks_is_begun_anew(call: Calling, loopback: Loopback, tmp_path: Path) -> None:
    whole = Answer(body=[b'{"n":1}\n', b'{"n":2}\n'])
    loopback.script(Answer(body=whole.body, reset="middle"), refusal(500, "1234"), whole)
    call(setup_for(loopback), "files.save", "f1", tmp_path / "out.jsonl")
    assert list(lines_of(tmp_path / "out.jsonl")) == [b'{"n":1}', b'{"n":2}']
    loopback.script(Answer(body=whole.body, reset="middle"))
    with pytest.raises(InterruptedAnswerError):
        call(setup_for(loopback), "files.save", "f1", tmp_path / "other.jsonl")
    loopback.script(whole)
    with pytest.raises(OutputError):
        call(setup_for(loopback), "files.save", "f1", tmp_path / "no folder" / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def write_batch(setup: dict[str, Any], folder: Path, count: int, **limits: Any) -> list[Path]:
    """Batch files of ``count`` different pictures."""
    with Client(**setup) as client:
        requests = (
            (f"item-{n:04}", client.prepare("What?", image_bytes("png", 8 + n, 8), temperature=0.1))
            for n in range(count)
        )
        return client.batches.write(requests, folder, **limits)


def test_a_batch_from_files_to_answers(call: Calling, sandbox: SandboxHandle, tmp_path: Path) -> None:
    setup = sandbox_setup(sandbox, model="glm-4v-plus-0111")
    sandbox.set_scenario(
        {"rule": [{"path": "/v4/*", "after": 3, "count": 1, "fault": {"kind": "error", "code": "1301"}}]}
    )
    (path,) = write_batch(setup, tmp_path, 5)
    file = call(setup, "files.upload", path)
    batch = call(setup, "batches.create", file.id, {"job": "mine"})
    assert (batch.status, batch.total, batch.metadata) == (BatchStatus.VALIDATING, 5, {"job": "mine"})
    assert call(setup, "batches.list").items[0].id == batch.id
    ended = call(setup, "batches.wait", batch)
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.COMPLETED, 4, 1)
    paths = call(setup, "batches.download", batch.id, tmp_path / "out")
    assert [p.name for p in paths] == [f"{batch.id}-output.jsonl", f"{batch.id}-error.jsonl"]
    with Client(**setup) as client:
        answers = {answer.custom_id: answer for answer in client.batches.read(paths)}
        whole = client.ask("What?", image_bytes("png", 8, 8), temperature=0.1)
    first = answers["item-0000"].reply
    assert first is not None and first.cost is not None and whole.cost is not None
    assert (first.text, first.usage) == (whole.text, whole.usage)
    assert first.cost.amount == whole.cost.amount * Decimal("0.5")
    assert isinstance(answers["item-0003"].error, ContentPolicyError)
    assert len(answers) == 5


def test_damaged_lines_of_results_are_read_with_a_note(tmp_path: Path, sandbox: SandboxHandle) -> None:
    answer = '"response":{"status_code":200,"body":{"choices":[{"message":{"content":"A cat."}}],"n":%s}}}\n'
    lines = [f'{{"custom_id":"item-{n}",{answer % word}' for n, word in enumerate(("1", "NaN", "2", "3"))]
    whole = "".join(lines).encode()
    bad = whole.replace(b"cat", b"c\xfft", 1)
    (tmp_path / "results.jsonl").write_bytes(bad[: bad.rindex(b',"n"')])
    (tmp_path / "cut.jsonl").write_bytes(whole[: whole.index(b"at.")])
    paths = [tmp_path / "results.jsonl", tmp_path / "cut.jsonl"]
    with Client(**sandbox_setup(sandbox, model="glm-4v-plus-0111")) as client:
        *read, broken = client.batches.read(paths)
    told = []
    for one in read:
        assert one.reply is not None, one.error
        notes = [note.detail for note in one.reply.notes if note.kind == "damaged"]
        told.append((one.custom_id, one.reply.text, notes))
    as_well = "read as well as it can be:"
    assert told == [
        ("item-0", "A c\ufffdt.", [f"{as_well} it is not all UTF-8"]),
        ("item-1", "A cat.", [f"{as_well} NaN is no number of JSON"]),
        ("item-2", "A cat.", []),
        (
            "item-3",
            "A cat.",
            [f"{as_well} it is cut off behind the answer's text, so how it ended is not known"],
        ),
    ]
    assert broken.custom_id == "item-0" and isinstance(broken.error, InterruptedAnswerError)
    assert broken.error.reply is not None and broken.error.reply.text == "A c"


def test_a_batch_is_split(tmp_path: Path, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox, model="glm-4v-plus-0111")
    paths = write_batch(setup, tmp_path, 7, limits=BatchLimits(3, 100_000), name="day")
    assert [path.name for path in paths] == ["day-0001.jsonl", "day-0002.jsonl", "day-0003.jsonl"]
    ids = [[orjson.loads(line)["custom_id"] for line in lines_of(path)] for path in paths]
    assert [len(part) for part in ids] == [3, 3, 1]
    assert [one for part in ids for one in part] == [f"item-{n:04}" for n in range(7)]


def test_a_batch_is_cancelled(call: Calling, sandbox: SandboxHandle, tmp_path: Path) -> None:
    setup = sandbox_setup(sandbox, model="glm-4v-plus-0111")
    file = call(setup, "files.upload", write_batch(setup, tmp_path, 2)[0])
    batch = call(setup, "batches.create", file.id)
    assert call(setup, "batches.cancel", batch.id).status is BatchStatus.CANCELLING
    assert call(setup, "batches.wait", batch.id).status is BatchStatus.CANCELLED
    with pytest.raises(RejectedRequestError):
        call(setup, "batches.cancel", batch.id)


def test_a_batch_that_fails_as_a_whole(call: Calling, sandbox: SandboxHandle, tmp_path: Path) -> None:
    setup = sandbox_setup(sandbox)
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"no json\n")
    batch = call(setup, "batches.create", call(setup, "files.upload", path).id)
    ended = call(setup, "batches.wait", batch)
    assert ended.status is BatchStatus.FAILED
    assert ended.errors[0].startswith("line 1:")
    assert call(setup, "batches.download", batch.id, tmp_path / "none") == ()


def test_making_a_batch_is_never_tried_twice(call: Calling, loopback: Loopback) -> None:
    loopback.script(refusal(500, "1234"))
    with pytest.raises(ServerError) as caught:
        call(setup_for(loopback), "batches.create", "f1")
    assert len(loopback.requests) == 1
    assert "batches.list" in caught.value.__notes__[0]
    with pytest.raises(ParameterError, match="16"):
        call(setup_for(loopback), "batches.create", "f1", {str(n): "x" for n in range(17)})


def test_a_deadline_for_a_batch(call: Calling, loopback: Loopback) -> None:
    loopback.script(Answer(body=b'{"id":"b1","status":"in_progress"}'))
    clock = Clock()
    with pytest.raises(ReplyTimeoutError, match=r"batches\.wait"):
        call(setup_for(loopback, clock), "batches.wait", "b1", 300.0)
    assert clock.now == pytest.approx(300)
    assert max(clock.sleeps) == 60


def test_an_endpoint_without_batches(call: Calling, loopback: Loopback) -> None:
    with pytest.raises(UnsupportedError, match=r"no batch files.*bigmodel"):
        call({**setup_for(loopback), "base_url": f"zai+{loopback.url}"}, "batches.create", "f1")


def test_a_line_whose_picture_vanishes_is_not_in_the_file(tmp_path: Path) -> None:
    picture = tmp_path / "x.bin"
    picture.write_bytes(bytes(900_000))
    state = picture.stat()
    line = Body((b'"', Base64Piece(FileContent(str(picture), state.st_size, state.st_mtime_ns)), b'"\n'))
    gone = Body((b'"', Base64Piece(FileContent(str(picture), state.st_size + 3, 1)), b'"\n'))
    with BatchFile(tmp_path / "b.jsonl") as file:
        file.add_line(line)
        with pytest.raises(UnreadableSourceError):
            file.add_line(gone)
        file.add_line(line)
        assert (file.lines, file.size) == (2, 2 * line.size)
    assert (tmp_path / "b.jsonl").stat().st_size == 2 * line.size
    with pytest.raises(OutputError):
        BatchFile(tmp_path / "none" / "b.jsonl")


def test_lines_are_written_in_constant_memory(tmp_path: Path) -> None:
    picture = tmp_path / "x.bin"
    with picture.open("wb") as file:
        file.truncate(30_000_000)
    state = picture.stat()
    line = Body((b'"', Base64Piece(FileContent(str(picture), state.st_size, state.st_mtime_ns)), b'"\n'))
    tracemalloc.start()
    with BatchFile(tmp_path / "b.jsonl") as batch:
        batch.add_line(line)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "b.jsonl").stat().st_size == 40_000_003
    assert peak < 2_000_000


def test_a_full_disk_is_told() -> None:
    full = BatchFile(Path("/dev/full"))
    with pytest.raises(OutputError) as caught:
        full.add_line(Body((bytes(1_000_000),)))
    assert (caught.value.code, caught.value.scope) == ("disk_full", "job")
    with pytest.raises(OutputError):
        full.close()
