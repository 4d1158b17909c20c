"""The package is cheap to import: nothing heavy is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import visionpipe

HEAVY = ("cv2", "PIL", "numpy", "httpx", "pydantic", "rich", "av", "onnxruntime", "typer", "asyncio")


def loaded_by(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after ``code``."""
    script = f"import sys\n{code}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import visionpipe") == set()


def test_help_loads_typer_only() -> None:
    code = "import visionpipe.cli.app"
    assert loaded_by(code) == {"typer"}


def test_httpx_is_loaded_without_its_command_line() -> None:
    loaded = loaded_by("import visionpipe.transport.requests")
    assert "httpx" in loaded
    assert "rich" not in loaded


@pytest.mark.parametrize("name", visionpipe.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(visionpipe, name) is not None
    assert name in dir(visionpipe)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = visionpipe.nonsense
