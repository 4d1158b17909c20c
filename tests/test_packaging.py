"""What is installed is what the texts say: one name, one version, and extras that exist."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

import visionpipe
from visionpipe.errors import DISTRIBUTION, install_command, missing_extra

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = set(PROJECT["optional-dependencies"])


def extras_named_in_the_code() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "visionpipe").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"missing_extra": 1, "install_command": 0, "files_of": 2}.get(node.func.id)
                named = dict(enumerate(node.args)).get(-1 if place is None else place)
                if isinstance(named, ast.Constant):
                    found.add(str(named.value))
    return found


def test_every_extra_that_a_cure_names_exists() -> None:
    named = extras_named_in_the_code()
    assert {"heif", "ocr", "parquet", "publish", "sandbox", "socks"} <= named
    assert named <= EXTRAS


def test_the_distribution_has_one_name() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert version(DISTRIBUTION) == visionpipe.__version__
    assert install_command("heif") == f"pip install '{DISTRIBUTION}[heif]'"
    extras = PROJECT["optional-dependencies"].values()
    own = [line for extra in extras for line in extra if "visionpipe" in line]
    assert own
    assert all(line.startswith(f"{DISTRIBUTION}[") for line in own)


def test_no_text_installs_another_distribution() -> None:
    texts = [ROOT / "README.md", *sorted((ROOT / "visionpipe").rglob("*.py"))]
    wrong = [str(path) for path in texts if "install 'visionpipe[" in path.read_text("utf-8")]
    assert wrong == []


def test_a_missing_extra_says_what_to_type() -> None:
    error = missing_extra("reading HEIC needs pillow-heif", "heif", subject="a.heic", scope="item")
    assert str(error) == (
        "a.heic: reading HEIC needs pillow-heif, which is not installed. "
        f"Install it: pip install '{DISTRIBUTION}[heif]'"
    )
    assert (error.code, error.scope) == ("missing_extra", "item")


def test_what_an_index_shows_has_no_link_to_a_file_beside_it() -> None:
    shown = metadata(DISTRIBUTION)["Description"]
    assert "## Start" in shown
    assert [link for link in re.findall(r"\]\(([^)]*)\)", shown) if not link.startswith(("http", "#"))] == []
