"""The other commands, and how errors end a command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.cli.commands import SAMPLES, environment, visionpipe
from tests.client.faces import KEY, chat
from tests.loopback import Loopback
from visionpipe.testing.sandbox import SandboxHandle


def test_describe_prints_one_answer(tmp_path: Path) -> None:
    done = visionpipe("describe", SAMPLES / "coffee.png", folder=tmp_path)
    assert done.returncode == 0
    assert "espresso" in done.stdout
    assert "note: local" in done.stderr


def test_describe_reads_stdin_and_prints_json(tmp_path: Path, loopback: Loopback) -> None:
    loopback.script(chat("A cup."))
    done = visionpipe(
        "describe",
        "-p",
        "What?",
        "--json",
        "--base-url",
        f"bigmodel+{loopback.url}",
        SAMPLES / "flower.jpg",
        folder=tmp_path,
        env={"VISIONPIPE_API_KEY": KEY},
    )
    found = orjson.loads(done.stdout)
    assert (found["text"], found["local"], found["attempts"]) == ("A cup.", False, 1)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["describe", "missing.jpg"], 1, "missing.jpg"),
        (["describe", SAMPLES / "CREDITS.md"], 1, "CREDITS.md"),
        (["describe", SAMPLES / "coffee.png", "--model", "glm-4.6v"], 2, "Set BIGMODEL_API_KEY"),
        (["describe", SAMPLES / "coffee.png", "--temperature", "3"], 2, "temperature"),
        (["describe", SAMPLES / "coffee.png", "--thinking", "maybe"], 2, "Use on or off"),
        (["caption", "nowhere", "-o", "out.jsonl"], 1, "nowhere"),
        (["caption", SAMPLES, "-o", "out.xyz"], 2, ".jsonl"),
        (["caption", SAMPLES, "--preset", "captoin"], 2, "Did you mean caption"),
        (
            ["caption", SAMPLES, "--preset", "ocr", "--prompt", "Who?"],
            2,
            "--prompt, --preset: both are given",
        ),
        (["check", SAMPLES, "--prompt", " "], 2, "--prompt: it is blank"),
        (["describe", "two\nlines\x1b[2J.jpg"], 1, "two\\nlines\\x1b[2J.jpg: there is no such file"),
        (["caption", SAMPLES, "--budget", "much"], 2, "5 CNY"),
        (["models", "glm-4v-plsu"], 2, "glm-4v-plus"),
        (["nonsense"], 2, "nonsense"),
        (["sandbox", "--port", "99999"], 2, "65535"),
        (["describe"], 2, "Missing argument"),
    ],
)
def test_errors_name_the_cure(tmp_path: Path, arguments: list[str | Path], status: int, words: str) -> None:
    done = visionpipe(*arguments, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_check_sends_nothing_and_needs_no_key(tmp_path: Path) -> None:
    done = visionpipe("check", SAMPLES, "--model", "glm-4v-plus-0111", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "chelsea.png" in done.stdout
    assert "cost at most" in done.stdout
    assert "tokens counted by: official sample" in done.stdout
    assert not list(tmp_path.iterdir())


def test_check_has_the_service_count_where_it_can(tmp_path: Path, sandbox: SandboxHandle) -> None:
    env = {"VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}", "VISIONPIPE_API_KEY": sandbox.key}
    command = ["check", str(SAMPLES / "coffee.png"), "--model", "glm-4.6v"]
    plain = visionpipe(*command, folder=tmp_path, env=env)
    assert "tokens counted by: published GLM-4.1V processor" in plain.stdout, plain.stderr
    assert sandbox.stats()["requests"] == 0
    counted = visionpipe(*command, "--count", folder=tmp_path, env=env)
    assert "tokens counted by: the service" in counted.stdout, counted.stderr
    assert sandbox.stats()["requests"] == 1


def test_check_as_json(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8nothing")
    done = visionpipe("check", tmp_path, "--model", "glm-4.6v", "--json", folder=tmp_path)
    item, totals = map(orjson.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert item["fate"] == "refuse"
    assert item["error"]["cure"]
    assert totals["totals"]["refuse"] == 1


def test_models_as_table_record_and_json(tmp_path: Path) -> None:
    table = visionpipe("models", folder=tmp_path).stdout
    assert "glm-4v-plus-0111" in table
    record = visionpipe("models", "glm-4v-flash", folder=tmp_path).stdout
    assert "max_count" in record
    assert "sources" in record
    rows = orjson.loads(visionpipe("models", "--endpoints", "--json", folder=tmp_path).stdout)
    assert {row["endpoint"] for row in rows} >= {"bigmodel", "zai", "embedded"}


def test_an_overlay_adds_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[[model]]\nid = "my-tuned"\nbase = "glm-4v-plus-0111"\n')
    done = visionpipe("models", "my-tuned", "--catalog", "mine.toml", "--json", folder=tmp_path)
    assert orjson.loads(done.stdout)["images"]["max_count"] == 5


def test_export_writes_any_output_again(tmp_path: Path) -> None:
    visionpipe("caption", SAMPLES / "coffee.png", "-o", "out.jsonl", folder=tmp_path)
    done = visionpipe("export", "out.jsonl.journal", "-o", "out.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "espresso" in (tmp_path / "out.csv").read_text()
    assert visionpipe("export", "out.jsonl.journal", folder=tmp_path).returncode == 2


def test_a_missing_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    done = visionpipe("caption", "nowhere", "-o", "out.jsonl", folder=tmp_path)
    assert done.returncode == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_journal_is_named(tmp_path: Path) -> None:
    done = visionpipe("export", "missing.journal", "-o", "out.csv", folder=tmp_path)
    assert done.returncode == 1
    assert "missing.journal: there is no such journal" in done.stderr
    assert not list(tmp_path.iterdir())


def test_version(tmp_path: Path) -> None:
    assert visionpipe("--version", folder=tmp_path).stdout.startswith("visionpipe ")


def test_check_gives_each_file_one_line(tmp_path: Path) -> None:
    photo = (SAMPLES / "flower.jpg").read_bytes()
    for name in ("two\nlines.jpg", "\x1b[31mred.jpg", "\u202egpj.exe.jpg", "写真 😀.jpg"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(photo)
    done = visionpipe("check", "in", folder=tmp_path, env={"PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    shown = [line[11:].split("  ")[0] for line in done.stdout.splitlines()[:4]]
    assert sorted(shown) == sorted(
        ["\\x1b[31mred.jpg", "two\\nlines.jpg", "写真 😀.jpg", "\\u202egpj.exe.jpg"]
    )


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_an_ascii_output_shows_other_characters_by_number(tmp_path: Path, env: dict[str, str]) -> None:
    done = visionpipe("models", folder=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "\\xa54 / \\xa54" in done.stdout


@pytest.mark.parametrize("command", [["models"], ["check", SAMPLES], ["describe", SAMPLES / "flower.jpg"]])
def test_an_output_that_takes_no_more_is_an_error_in_words(tmp_path: Path, command: list[str | Path]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "visionpipe", *map(str, command)],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert "visionpipe: the output could not be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [["describe", SAMPLES / "chelsea.png"], ["caption", SAMPLES / "chelsea.png"]]
)
def test_a_job_may_have_no_stdout_and_stderr(tmp_path: Path, command: list[str | Path]) -> None:
    line = shlex.join([sys.executable, "-m", "visionpipe", *map(str, command)])
    done = subprocess.run(
        f"{line} >&- 2>&-", shell=True, cwd=tmp_path, env=environment(), timeout=120, check=False
    )
    assert done.returncode == 0
    if command[0] == "caption":
        assert len((tmp_path / "captions.jsonl").read_text(encoding="utf-8").splitlines()) == 1
