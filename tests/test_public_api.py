"""What users import is wide enough, and is what the reference lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import visionpipe
from scripts.api_reference import PAGE, docstrings, page, parsed

ROOT = Path(__file__).parent.parent
TREES = {module: parsed(module) for module in visionpipe._NAMES}
MADE = ("Client", "AsyncClient")
HAD_NOT_MADE = re.compile(r"visionpipe\.(client\._|pipeline\.(plan|run|worker)$)")
"""Classes of these modules, but for ``MADE``, come out of calls: nobody writes their arguments."""

PASSED_WITHIN = {"Ended", "OpenItem", "Recipe", "Recorded", "Spent", "Stat", "Waiting", "WrittenRecord"}
"""Types of methods that only the library's own parts call."""


def imported(module: str) -> dict[str, tuple[str, str]]:
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("visionpipe")
        for alias in node.names
    }


def names_in(annotation: ast.expr | None) -> Iterator[str]:
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Name):
            yield node.id


def in_signatures(node: ast.stmt, *, is_made: bool) -> Iterator[str]:
    """The names of types in what a public class or function takes, holds and gives."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg]
        for argument in every:
            yield from names_in(argument.annotation if argument is not None else None)
        yield from names_in(node.returns)
    elif isinstance(node, ast.ClassDef):
        for member in node.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                if not member.name.startswith("_") or (member.name == "__init__" and is_made):
                    yield from in_signatures(member, is_made=is_made)
            elif isinstance(member, ast.AnnAssign) and not ast.unparse(member.target).startswith("_"):
                yield from names_in(member.annotation)


def classes(module: str) -> set[str]:
    return {node.name for node in parsed(module).body if isinstance(node, ast.ClassDef)}


def test_every_type_in_a_public_signature_is_public() -> None:
    missing = set()
    for module, tree in TREES.items():
        names = imported(module)
        public = set(visionpipe._NAMES[module].split())
        for node in tree.body:
            name = getattr(node, "name", "")
            if name not in public:
                continue
            is_made = not HAD_NOT_MADE.match(module) or name in MADE
            for used in in_signatures(node, is_made=is_made):
                home, original = names.get(used, (module, used))
                if original in classes(home) - PASSED_WITHIN and original not in visionpipe.__all__:
                    missing.add(f"{original} of {home}, in {name}")
    assert sorted(missing) == []


def test_the_reference_lists_exactly_the_public_names() -> None:
    text = PAGE.read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == visionpipe.__all__
    assert text == page()


def test_every_public_name_has_a_docstring() -> None:
    bare = [name for name in visionpipe.__all__ if not docstrings(visionpipe._HOMES[name]).get(name)]
    assert bare == []


def test_the_type_checker_sees_the_same_names() -> None:
    tree = ast.parse((ROOT / "visionpipe" / "__init__.py").read_text("utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("visionpipe")
        for alias in node.names
    }
    seen["presets"] = "visionpipe.prompts.presets"
    assert seen == visionpipe._HOMES


def test_nothing_that_users_read_imports_from_deeper() -> None:
    deep = re.compile(r"^\s*(?:from|import) (visionpipe\.(?!testing\b|adapters\b)[\w.]+)", re.MULTILINE)
    texts = [
        ROOT / "README.md",
        *sorted((ROOT / "samples").glob("*.py")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    found = {str(path): deep.findall(path.read_text("utf-8")) for path in texts}
    assert {path: imports for path, imports in found.items() if imports} == {}
