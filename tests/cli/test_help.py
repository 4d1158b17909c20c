"""What a new user reads of each command, in the terminal and in docs/commands.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from tests.cli.commands import Here, here
from visionpipe.cli.app import EXAMPLES, GROUPS, make_app
from visionpipe.cli.options import call_options
from visionpipe.errors import ParameterError

COMMANDS = getattr(get_command(make_app()), "commands", {})


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Here:
    return here(capfd)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_help_has_groups_and_examples(run: Here, tmp_path: Path, name: str) -> None:
    short, long = (run(*name.split(), option, folder=tmp_path) for option in ("-h", "--help"))
    assert short.returncode == 0
    assert short.stdout == long.stdout
    for example in EXAMPLES[name]:
        assert f"\n  {example}\n" in short.stdout
    if name in ("caption", "check"):
        assert all(f"\n{heading}:\n" in short.stdout for heading in ("Question", "Model", "Outputs"))


def test_every_command_has_examples_that_are_commands() -> None:
    inner = {f"journal {name}" for name in COMMANDS["journal"].commands}
    assert set(EXAMPLES) == (set(COMMANDS) - {"journal"}) | inner
    for name, examples in EXAMPLES.items():
        assert all(f"visionpipe {name}" in example for example in examples)


def test_groups_hold_what_there_is_and_nothing_twice() -> None:
    there = {parameter.name for command in COMMANDS.values() for parameter in command.params}
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(set(grouped)) == len(grouped)
    assert set(grouped) <= there


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["caption", "x", "--temprature", "1"], "--temperature"),
        (["describe", "x.jpg", "--base-url", "http://127.0.0.1:9", "-m", "glm-4.6"], "did you mean glm-4"),
        (["video", "x.mp4", "-o", "x.txt"], "srt:subtitles/"),
        (["describe", "x.jpg", "--extra", "seed"], "is not KEY=JSON (there is no = in it)"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(
    run: Here, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode in (1, 2)
    assert words in done.stderr


def test_options_of_a_request() -> None:
    found = call_options(system="Be brief.", reasoning_effort="low", extra=["seed=7", 'user="me"'])
    assert found["extra"] == {"seed": 7, "user": "me"}
    assert (found["system"], found["reasoning_effort"]) == ("Be brief.", "low")
    for wrong in ("=7", "seed=nonsense"):
        with pytest.raises(ParameterError, match="is not KEY=JSON"):
            call_options(extra=[wrong])
