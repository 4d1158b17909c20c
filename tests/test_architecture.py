"""The house holds: imports run downwards, and each heavy library has its one home."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "visionpipe"

LAYERS = {
    "errors": 0,
    "values": 0,
    "media": 1,
    "request": 1,
    "reply": 1,
    "results": 1,
    "registry": 1,
    "files": 1,
    "images": 2,
    "clips": 2,
    "sources": 2,
    "prompts": 2,
    "stages": 3,
    "wire": 3,
    "transport": 4,
    "local": 4,
    "video": 4,
    "client": 5,
    "pipeline": 6,
    "sinks": 7,
    "sandbox": 7,
    "cli": 8,
    "testing": 8,
    "__main__": 8,
}

PIXEL_HOMES = ("images/", "clips/", "local/", "sinks/html.py", "sinks/webdataset.py", "testing/")
HOMES = {
    "httpx": ("transport/",),
    "PIL": PIXEL_HOMES,
    "cv2": PIXEL_HOMES,
    "av": PIXEL_HOMES,
    "numpy": PIXEL_HOMES,
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> list[tuple[str, bool]]:
    """Every module a file imports, with whether it is only for the type checker."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, typing_only: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                walk(statement, True)
            for statement in node.orelse:
                walk(statement, typing_only)
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            module = node.module or ""
            if module == "visionpipe":
                rooms = (alias.name for alias in node.names if alias.name in LAYERS)
                found.extend((f"visionpipe.{name}", typing_only) for name in rooms)
            else:
                found.append((module, typing_only))
        for child in ast.iter_child_nodes(node):
            walk(child, typing_only)

    walk(ast.parse(path.read_text("utf-8")), False)
    return found


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    if own == "__init__":
        return  # the public names, looked up lazily from everywhere
    for module, typing_only in imported(path):
        if not module.startswith("visionpipe.") or typing_only:
            continue
        assert LAYERS[room(module)] <= LAYERS[own], f"{relative} ({own}) imports {module} above it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    for module, _ in imported(path):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert relative.startswith(homes), f"{relative} imports {module}, which lives in {homes}"


def test_sinks_and_pipeline_do_not_know_each_other() -> None:
    for path in (PACKAGE / "sinks").rglob("*.py"):
        assert not [m for m, _ in imported(path) if m.startswith("visionpipe.pipeline")], path
    for path in (PACKAGE / "pipeline").rglob("*.py"):
        above = ("visionpipe.sinks", "visionpipe.transport")
        assert not [m for m, _ in imported(path) if m.startswith(above)], path


def test_every_room_has_a_layer() -> None:
    rooms = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in modules()}
    assert rooms - {"__init__"} <= set(LAYERS)
