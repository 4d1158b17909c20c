"""What a run leaves behind: never less than the journal holds, and nobody else's file."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest

from tests.cli.commands import environment, lines, visionpipe
from tests.client.faces import KEY, chat
from tests.loopback import Answer, Loopback, Seen
from visionpipe.testing.images import jpeg_bytes

GATEWAY = {"VISIONPIPE_API_KEY": KEY}


def photos(folder: Path, count: int = 4) -> Path:
    folder.mkdir()
    for n in range(count):
        (folder / f"{n}.jpg").write_bytes(jpeg_bytes(64 + n, 48))
    return folder


def against(server: Loopback) -> list[str]:
    return ["--base-url", f"bigmodel+{server.url}", "--model", "glm-4v-plus-0111", "--concurrency", "1"]


class Slow:
    """Answers the first ``ready`` requests at once, and the others when ``go`` is set."""

    def __init__(self, ready: int) -> None:
        self.go, self.waiting = threading.Event(), threading.Event()
        self._ready, self._met, self._lock = ready, 0, threading.Lock()

    def __call__(self, seen: Seen) -> Answer:
        with self._lock:
            self._met += 1
            if self._met <= self._ready:
                return chat("A caption.")
        self.waiting.set()
        return Answer(body=chat("A caption.").body, wait=self.go)


def started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "visionpipe", *command],
        cwd=folder,
        env=environment(GATEWAY),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_run_leaves_the_outputs_of_the_first_alone(tmp_path: Path, loopback: Loopback) -> None:
    slow = Slow(2)
    loopback.script(answer=slow)
    command = ["caption", str(photos(tmp_path / "in")), "-o", "out.jsonl", *against(loopback)]
    first = started(command, tmp_path)
    try:
        assert slow.waiting.wait(30)
        second = visionpipe(*command, folder=tmp_path, env=GATEWAY)
    finally:
        slow.go.set()
        _, said = first.communicate(timeout=60)
    assert second.returncode == 1
    assert "another run is using this journal" in second.stderr
    assert first.returncode == 0, said
    assert lines(tmp_path / "out.jsonl").keys() == {"0.jpg", "1.jpg", "2.jpg", "3.jpg"}


def test_a_killed_second_pass_names_no_item_twice(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    folder = photos(tmp_path / "in")
    command = ["caption", str(folder), "-o", "out.jsonl", *against(loopback)]
    assert visionpipe(*command, folder=tmp_path, env=GATEWAY).returncode == 0
    (folder / "last.jpg").write_bytes(jpeg_bytes(32, 48))
    slow = Slow(0)
    loopback.script(answer=slow)
    process = started([*command, "--json"], tmp_path)
    try:
        assert slow.waiting.wait(30)
    finally:
        process.kill()
        slow.go.set()
        process.communicate(timeout=60)
    assert lines(tmp_path / "out.jsonl").keys() == {"0.jpg", "1.jpg", "2.jpg", "3.jpg"}


def test_a_source_is_never_an_output(tmp_path: Path) -> None:
    photos(tmp_path / "in", 1)
    listed = tmp_path / "list.jsonl"
    listed.write_text('{"path": "in/0.jpg"}\n')
    done = visionpipe("caption", "list.jsonl", "-o", "./list.jsonl", folder=tmp_path)
    assert done.returncode == 2
    assert "this output is one of the sources" in done.stderr
    assert listed.read_text() == '{"path": "in/0.jpg"}\n'


def test_an_output_that_is_a_link_stays_one(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    command = ["caption", str(photos(tmp_path / "in")), "-o", "out.jsonl", *against(loopback)]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "elsewhere" / "real.jsonl")
    done = visionpipe(*command, folder=tmp_path, env=GATEWAY)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.jsonl").is_symlink()
    assert len(lines(tmp_path / "elsewhere" / "real.jsonl")) == 4


def test_an_output_that_cannot_be_made_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    photos(tmp_path / "in", 1)
    (tmp_path / "file").write_text("no folder")
    done = visionpipe("caption", "in", "-o", "file/out.jsonl", folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "file/out.jsonl: cannot be written" in done.stderr


def test_sidecars_that_cannot_be_made_are_told_before_anything_is_asked(
    tmp_path: Path, loopback: Loopback
) -> None:
    photos(tmp_path / "in", 1)
    (tmp_path / "file").write_text("no folder")
    for place in ("file", "file/texts"):
        done = visionpipe(
            "caption", "in", "-o", f"txt:{place}", *against(loopback), folder=tmp_path, env=GATEWAY
        )
        assert done.returncode == 1
        assert f"{place}: cannot be written" in done.stderr
    assert loopback.requests == []
    assert not list((tmp_path / "in").glob(".visionpipe-*"))


def test_an_output_that_fails_on_the_way_is_what_stopped_the_run(tmp_path: Path, loopback: Loopback) -> None:
    # More than a run keeps ready for whoever takes its results, so that it cannot be over before the failure.
    count = 80
    folder = photos(tmp_path / "in", count)
    texts = tmp_path / "texts"

    first = iter([True])

    def answer(seen: Seen) -> Answer:
        # Once only: in the second run the folder is not there either until the first sidecar is written.
        if next(first, False):
            texts.write_text("no folder any more")
        return chat("A caption.")

    loopback.script(answer=answer)
    command = ["caption", str(folder), "-o", "txt:texts", "-o", "out.jsonl", "--concurrency", "1"]
    done = visionpipe(*command, *against(loopback), folder=tmp_path, env=GATEWAY)
    assert done.returncode == 1, done.stderr
    assert "stopped: an output could not be written" in done.stderr
    assert "interrupted" not in done.stderr
    assert ".txt: cannot be written" in done.stderr
    texts.unlink()
    again = visionpipe(*command, *against(loopback), folder=tmp_path, env=GATEWAY)
    assert again.returncode == 0, again.stderr
    assert len(loopback.requests) == count
    assert sorted(path.name for path in texts.iterdir()) == sorted(f"{n}.txt" for n in range(count))


def test_no_lock_is_left_behind_however_a_job_ends(tmp_path: Path, loopback: Loopback) -> None:
    photos(tmp_path / "in", 3)
    (tmp_path / "foreign.csv").write_text("a,b\n")
    loopback.script(answer=lambda seen: chat("A caption."))
    ends: list[tuple[int, list[str]]] = [
        (0, ["-o", "out.jsonl"]),
        (0, ["-o", "out.jsonl"]),
        (0, ["-o", "txt:"]),
        (1, ["-o", "budget.jsonl", "--budget-requests", "1"]),
        (2, ["-o", "foreign.csv"]),
        (2, ["-o", "hot.jsonl", "--temperature", "7"]),
    ]
    for status, words in ends:
        done = visionpipe("caption", "in", *words, *against(loopback), folder=tmp_path, env=GATEWAY)
        assert done.returncode == status, (words, done.stderr)
        assert not list(tmp_path.rglob("*.lock")), words
    visionpipe("export", "out.jsonl.journal", "-o", "out.html", folder=tmp_path)
    visionpipe("journal", "repair", "out.jsonl.journal", folder=tmp_path)
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize(
    "outputs",
    [
        ("a.csv", "a.csv"),
        ("a.csv", "./a.csv"),
        ("a.csv", "in/../a.csv"),
        ("a.csv", "jsonl:a.csv"),
        ("a.csv", "link.csv"),
        ("txt:", "txt:in"),
        ("txt:texts", "txt:texts/"),
        ("-", "-"),
    ],
)
def test_one_place_for_two_outputs_is_refused(
    tmp_path: Path, loopback: Loopback, outputs: tuple[str, str]
) -> None:
    photos(tmp_path / "in", 1)
    (tmp_path / "link.csv").symlink_to("a.csv")
    words = [word for output in outputs for word in ("-o", output)]
    done = visionpipe("caption", "in", *words, *against(loopback), folder=tmp_path, env=GATEWAY)
    assert done.returncode == 2, done.stderr
    assert "given twice" in done.stderr or "the same place as" in done.stderr
    assert loopback.requests == []
    assert not (tmp_path / "a.csv").exists()


def test_results_come_out_of_a_pipe_line_by_line(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(answer=lambda _: chat("A caption."))
    photos(tmp_path / "in", 2)
    command = ["caption", "in", "-o", "-", *against(loopback)]
    for kept in (0, 2):
        done = visionpipe(*command, folder=tmp_path, env=GATEWAY)
        assert done.returncode == 0, done.stderr
        found = [orjson.loads(line) for line in done.stdout.splitlines()]
        assert sorted(one["path"] for one in found) == sorted(p.name for p in (tmp_path / "in").glob("*.*g"))
        assert ("kept from earlier runs: 2" in done.stderr) == bool(kept)
        assert "written: standard output" in done.stderr
    assert len(loopback.requests) == 2
    both = visionpipe(*command, "--json", folder=tmp_path, env=GATEWAY)
    assert both.returncode == 2
    assert "standard output" in both.stderr


def test_sidecars_of_one_stem_are_kept_apart_by_a_naming_rule(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    folder = photos(tmp_path / "in", 1)
    (folder / "0.jpeg").write_bytes(jpeg_bytes(33, 48))
    command = ["caption", str(folder), "-o", "txt:caps/", *against(loopback)]
    apart = visionpipe(*command, "--naming", "{name}.txt", folder=tmp_path, env=GATEWAY)
    assert apart.returncode == 0, apart.stderr
    assert {path.name for path in (tmp_path / "caps").iterdir()} == {"0.jpg.txt", "0.jpeg.txt"}
    shared = visionpipe(*command, folder=tmp_path, env=GATEWAY)
    assert shared.returncode == 2
    assert "0.jpeg and 0.jpg" in shared.stderr
    assert "--naming '{name}.txt'" in shared.stderr
