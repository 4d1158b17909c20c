"""No half-written file is left behind, whatever happens while it is written."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from visionpipe.errors import InputError, OutputError
from visionpipe.files import GrowingFile, ReplacingFile, output_error, partial_path, replace_file


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words(number: int) -> None:
    error = output_error(Path("out.csv"), OSError(number, "No space"))
    assert isinstance(error, InputError)
    assert (error.code, error.scope) == ("disk_full", "job")
    assert str(error).startswith("out.csv: the disk is full. Make space, then run the same command again;")


def test_other_errors_name_their_cause(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot be written \((Not a directory|File exists)\)"):
        GrowingFile(tmp_path / "file" / "out.jsonl")


def test_pieces_are_added_whole_or_not_at_all(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("the source broke")

    file = GrowingFile(tmp_path / "a")
    file.add(b"whole")
    with pytest.raises(RuntimeError):
        file.add_pieces(pieces())
    file.add(b"!")
    file.close()
    assert (tmp_path / "a").read_bytes() == b"whole!"


def test_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "a", sync_every=1)
    file.add(b"x")
    file.close()
    file.close()
    with pytest.raises(ValueError, match="is closed"):
        file.add(b"y")


def test_a_replacing_file_leaves_the_old_one_until_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_bytes(b"old")
    file = ReplacingFile(target)
    file.add(b"new")
    assert target.read_bytes() == b"old"
    file.discard()
    assert names(tmp_path) == ["out.csv"]
    file = ReplacingFile(target)
    file.add(b"new")
    file.finish()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["out.csv"]


def test_the_next_run_takes_over_what_a_kill_left(tmp_path: Path) -> None:
    partial_path(tmp_path / "a").write_bytes(b"left by a kill, and long")
    replace_file(tmp_path / "a", b"new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"new"}


def test_a_small_file_that_cannot_be_put_in_place_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    with pytest.raises(OutputError):
        replace_file(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]


SMALL_LIMIT = """
import resource, sys
from dataclasses import replace
from tests.sinks.sample_results import CAT
from visionpipe.errors import OutputError
from visionpipe.sinks.opening import open_sink

sink = open_sink(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
written = 0
try:
    while written < 10_000:
        sink.write(replace(CAT, source=f"photos/{written}.jpg"))
        written += 1
except OutputError as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sink.write(replace(CAT, source=f"photos/{written}.jpg"))
    sink.close()
    print(written, error.code)
"""


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_write_that_finds_no_room_is_taken_back_and_can_be_tried_again(name: str, tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", SMALL_LIMIT, tmp_path / name],
        capture_output=True,
        text=True,
        cwd=root,
        check=True,
        timeout=60,
    )
    written, code = done.stdout.split()
    assert code == "output"
    assert int(written) >= 8
    lines = (tmp_path / name).read_text("utf-8").split("\n")
    rows = [line for line in lines if "photos/" in line]
    assert len(rows) == int(written) + 1
    assert all(f"photos/{number}.jpg" in row for number, row in enumerate(rows))
