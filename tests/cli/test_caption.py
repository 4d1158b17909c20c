"""The main job from the command line: a folder in, captions out, every file accounted for."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest

from tests.cli.commands import SAMPLES, cat, environment, lines, visionpipe
from tests.client.faces import KEY, chat, refusal
from tests.loopback import Answer, Loopback, Seen
from visionpipe.testing.images import hostile_files, png_bytes

PHOTOS = ("chelsea.png", "coffee.png", "grace_hopper.jpg", "rocket.jpg")


def photos(folder: Path) -> Path:
    folder.mkdir()
    for name in (*PHOTOS, "CREDITS.md", "bigbuckbunny.mp4"):
        shutil.copy(SAMPLES / name, folder / name)
    return folder


def against(server: Loopback) -> list[str]:
    return ["--base-url", f"bigmodel+{server.url}", "--model", "glm-4v-plus-0111"]


GATEWAY = {"VISIONPIPE_API_KEY": KEY}


def test_real_photos_with_the_embedded_engine(tmp_path: Path) -> None:
    command = ["caption", str(photos(tmp_path / "in")), "-o", "out.jsonl", "--include-skipped"]
    done = visionpipe(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "out.jsonl")
    assert "cat" in found["chelsea.png"]["caption"]
    assert "espresso" in found["coffee.png"]["caption"]
    assert "person" in found["grace_hopper.jpg"]["caption"]
    assert all(found[name]["local"] for name in PHOTOS)
    assert found["bigbuckbunny.mp4"]["reason"] == "video"
    assert found["CREDITS.md"]["reason"] == "not an image"
    assert "6 items: 4 done, 2 skipped" in done.stderr
    assert "skipped, video: 1" in done.stderr
    assert done.stderr.count("the embedded engine answers") == 1


def test_the_same_command_again_asks_nothing(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    folder = photos(tmp_path / "in")
    command: list[str | Path] = ["caption", folder, "-o", "out.jsonl", "-o", "out.csv", *against(loopback)]
    first = visionpipe(*command, folder=tmp_path, env=GATEWAY)
    assert first.returncode == 0, first.stderr
    before = lines(tmp_path / "out.jsonl")
    shutil.copy(SAMPLES / "flower.jpg", folder / "flower.jpg")
    second = visionpipe(*command, folder=tmp_path, env=GATEWAY)
    assert second.returncode == 0, second.stderr
    assert "kept from earlier runs: 4" in second.stderr
    assert len(loopback.requests) == 5
    after = lines(tmp_path / "out.jsonl")
    assert set(after) - set(before) == {"flower.jpg"}
    assert {name: after[name] for name in before} == before
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + len(after)


def test_hostile_files_cost_their_neighbours_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bad = {path.name for path in hostile_files(folder)}
    good = {f"good{n:02}.jpg" for n in range(30)}
    for n, name in enumerate(sorted(good)):
        (folder / name).write_bytes(cat(n))
    done = visionpipe("caption", folder, "-o", "out.jsonl", folder=tmp_path)
    assert done.returncode == 1, done.stderr
    found = lines(tmp_path / "out.jsonl")
    analysed = {name for name, line in found.items() if line["outcome"] == "done"}
    failed = {name: line["error"] for name, line in found.items() if line["outcome"] == "failed"}
    assert analysed == good
    assert failed.keys() == bad
    assert len(bad) == 30
    for error in failed.values():
        assert error["reason"]
        assert error["cure"].endswith(".")
    assert "60 items: 30 done, 30 failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_account_stops_the_job_after_one_request(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(refusal(429, "1113"))
    done = visionpipe(
        "caption",
        photos(tmp_path / "in"),
        "-o",
        "out.jsonl",
        "--concurrency",
        "1",
        *against(loopback),
        folder=tmp_path,
        env=GATEWAY,
    )
    assert done.returncode == 1
    assert len(loopback.requests) == 1
    assert "no balance" in done.stderr
    assert "Top up the account" in done.stderr
    assert "not started" in done.stderr
    assert KEY.partition(".")[2] not in done.stderr
    loopback.script(chat("A caption."))
    again = visionpipe(
        "caption", tmp_path / "in", "-o", "out.jsonl", *against(loopback), folder=tmp_path, env=GATEWAY
    )
    assert again.returncode == 0, again.stderr
    assert sum(line["outcome"] == "done" for line in lines(tmp_path / "out.jsonl").values()) == 4


def test_a_refused_picture_fails_alone(tmp_path: Path, loopback: Loopback) -> None:
    first = threading.Lock()

    def answer(seen: Seen) -> Answer:
        return refusal(400, "1301") if first.acquire(blocking=False) else chat("A caption.")

    loopback.script(answer=answer)
    done = visionpipe(
        "caption",
        photos(tmp_path / "in"),
        "-o",
        "out.jsonl",
        *against(loopback),
        folder=tmp_path,
        env=GATEWAY,
    )
    assert done.returncode == 1
    outcomes = [line["outcome"] for line in lines(tmp_path / "out.jsonl").values()]
    assert sorted(outcomes) == ["done", "done", "done", "failed"]
    assert "2 skipped" in done.stderr
    assert "failed, 1301: 1" in done.stderr


@pytest.mark.parametrize("asked_to_end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_sigterm_and_sighup_drain_and_the_next_run_goes_on(
    tmp_path: Path, loopback: Loopback, asked_to_end: signal.Signals
) -> None:
    arrived, go = threading.Event(), threading.Event()

    def answer(seen: Seen) -> Answer:
        arrived.set()
        return Answer(body=chat("A caption.").body, wait=go)

    loopback.script(answer=answer)
    command = ["caption", str(photos(tmp_path / "in")), "-o", "out.jsonl", "--concurrency", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "visionpipe", *command, *against(loopback)],
        cwd=tmp_path,
        env=environment(GATEWAY),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert arrived.wait(30)
    process.send_signal(asked_to_end)
    assert process.stderr is not None
    said = ""
    while "under way is awaited" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    go.set()
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, said + rest
    assert "not started" in rest
    done = lines(tmp_path / "out.jsonl")
    asked = len(loopback.requests)
    assert sum(line["outcome"] == "done" for line in done.values()) == asked < 4
    again = visionpipe(*command, *against(loopback), folder=tmp_path, env=GATEWAY)
    assert again.returncode == 0, again.stderr
    assert len(loopback.requests) == 4


def test_results_as_json_lines(tmp_path: Path) -> None:
    done = visionpipe("caption", photos(tmp_path / "in"), "-o", "out.jsonl", "--json", folder=tmp_path)
    events = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events].count("item") == 6
    assert events[-1]["event"] == "summary"
    assert events[-1]["done"] == 4


def test_a_log_that_is_full_does_not_end_the_job(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(answer=lambda _: chat("A flower."))
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "in" / name).write_bytes(b"")
    shutil.copy(SAMPLES / "flower.jpg", tmp_path / "in" / "z.jpg")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "visionpipe", "caption", "in", "-o", "out.jsonl", *against(loopback)],
            cwd=tmp_path,
            env=environment(GATEWAY),
            stderr=full,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    found = {path: line["outcome"] for path, line in lines(tmp_path / "out.jsonl").items()}
    assert found == {"a.jpg": "failed", "b.jpg": "failed", "c.jpg": "failed", "z.jpg": "done"}


def test_the_limit_of_pixels_is_an_option(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(chat("A caption."))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(png_bytes(120, 100))
    command: list[str | Path] = ["caption", folder, "-o", "out.jsonl", *against(loopback)]
    refused = visionpipe(*command, "--max-pixels", "11999", folder=tmp_path, env=GATEWAY)
    assert refused.returncode == 1
    assert "raise max_pixels (--max-pixels)" in refused.stderr
    taken = visionpipe(*command, "--max-pixels", "12000", folder=tmp_path, env=GATEWAY)
    assert taken.returncode == 0, taken.stderr
    assert lines(tmp_path / "out.jsonl")["a.png"]["caption"] == "A caption."
