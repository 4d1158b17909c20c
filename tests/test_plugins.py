"""Outputs, sources and judges of other installed packages, told by their entry points."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import visionpipe

SAMPLES = Path(__file__).parent.parent / "samples"
CODE = """
from pathlib import Path
import visionpipe as vp

class Lengths:
    keeps_previous = False
    def __init__(self, path): self.path, self.lines = path, []
    def write(self, result):
        self.lines.append(f"{result.source} {result.outcome} {[n.kind for n in result.notes]}")
    def flush(self): pass
    def close(self): self.path.write_text("\\n".join(self.lines))
    def abort(self): self.lines.clear()

def listed(rest):
    yield from Path(rest).read_text().split()

def strict(answer, is_second):
    return vp.Judgement((vp.Note("strict", "seen"),))

def careless(answer, is_second):
    return "fine"

def breaks(rest):
    raise RuntimeError("no album")

def unfit(path):
    return object()
"""
NAMES = """
[visionpipe.sinks]
lengths = lengths:Lengths
broken = nowhere:Sink
unfit = lengths:unfit

[visionpipe.sources]
listed = lengths:listed
breaks = lengths:breaks

[visionpipe.judges]
strict = lengths:strict
careless = lengths:careless
"""


def package(folder: Path, name: str, entry_points: str, code: str = "") -> None:
    """A distribution as an installer lays it down."""
    (folder / f"{name}.py").write_text(code)
    described = folder / f"{name}-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (described / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    package(tmp_path, "lengths", NAMES, CODE)
    (tmp_path / "in").mkdir()
    shutil.copy(SAMPLES / "chelsea.png", tmp_path / "in" / "a.png")
    (tmp_path / "album.list").write_text("in/a.png in/gone.jpg")
    return tmp_path


def run(home: Path, *given: str) -> subprocess.CompletedProcess[str]:
    places = os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")])
    return visionpipe("caption", *given, "-q", folder=home, env={"PYTHONPATH": places})


def test_a_source_an_output_and_a_judge_by_their_words(home: Path) -> None:
    done = run(home, "listed:album.list", "-o", "lengths:out.txt", "--judge", "strict")
    lines = sorted((home / "out.txt").read_text().splitlines())
    assert [line.split()[:2] for line in lines] == [["in/a.png", "done"], ["in/gone.jpg", "failed"]], (
        done.stderr
    )
    assert "strict" in lines[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["in", "-o", "broken:x"], "nowhere:Sink of the package lengths cannot be loaded"),
        (["in", "-o", "unfit:x"], "lengths:unfit of the package lengths is no output"),
        (["breaks:x"], "lengths:breaks of the package lengths failed (RuntimeError: no album)"),
        (["in", "--judge", "kind"], "no installed package has a judge 'kind'"),
        (["unknown:x"], "there is no such file"),
    ],
)
def test_what_is_broken_is_named_with_its_package(home: Path, given: list[str], said: str) -> None:
    done = run(home, *given)
    assert done.returncode in (1, 2)
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_judge_that_judges_nothing_fails_its_item(home: Path) -> None:
    done = run(home, "in", "--judge", "careless", "-o", "lengths:out.txt")
    assert "gave a str, and no Judgement" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("entry_points", "given", "said"),
    [
        (
            "[visionpipe.sinks]\ncsv = other:Sink\n",
            ["-o", "csv:x.csv"],
            "the package other names something 'csv'",
        ),
        (
            "[visionpipe.sinks]\nlengths = other:Sink\n",
            ["-o", "lengths:x"],
            "the package lengths and the package other",
        ),
        (
            "[visionpipe.judges]\nstrict = other:judge\n",
            ["--judge", "strict"],
            "both name something 'strict'",
        ),
    ],
)
def test_no_package_takes_a_name_that_is_taken(
    home: Path, entry_points: str, given: list[str], said: str
) -> None:
    package(home, "other", entry_points)
    done = run(home, "in", *given)
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
