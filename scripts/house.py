"""Prints the figures of the package's structure: files, lines, circles, and names used more than once.

``python scripts/house.py`` prints them; ``tests/test_architecture.py`` holds the rules among them. All is
read from the source by :mod:`ast`; nothing is imported.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).resolve().parent.parent / "visionpipe"
GENERATED = "_sync"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: dotted name, and whether only the type checker, or only a function, imports it."""

    module: str
    typing_only: bool
    in_function: bool


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(package.rglob("*.py"))
    }


def is_generated(path: Path) -> bool:
    """Whether a module is generated from its asynchronous twin."""
    return GENERATED in path.parts


def imports(path: Path, known: Iterable[str]) -> Iterator[Import]:
    """What a module imports, by the names of modules: ``from a import b`` names ``a.b`` where that is one."""
    names = set(known)

    def walk(node: ast.AST, typing_only: bool, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                yield from walk(statement, True, in_function)
            for statement in node.orelse:
                yield from walk(statement, typing_only, in_function)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, typing_only, in_function)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for module in {f"{node.module}.{a.name}" for a in node.names}:
                yield Import(module if module in names else node.module, typing_only, in_function)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, typing_only, inside)

    yield from walk(ast.parse(path.read_text("utf-8")), False, False)


def folder_of(module: str) -> str:
    """The folder or file directly below the package that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that can be reached from one another: strongly connected, larger than one."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(arrows.get(node, ())):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(arrows):
        if node not in order:
            visit(node)
    return found


def arrows_between(package: Path = PACKAGE) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Who imports whom when the package runs: among modules, and among the folders below the package.

    The package's own ``__init__`` is left out: it looks its names up lazily, from everywhere.
    """
    known = modules(package)
    root = package.name
    between: dict[str, set[str]] = defaultdict(set)
    folders: dict[str, set[str]] = defaultdict(set)
    for module, path in known.items():
        if module == root:
            continue
        for each in imports(path, known):
            target = each.module
            if each.typing_only or target not in known or target in (module, root):
                continue
            between[module].add(target)
            if folder_of(module) != folder_of(target):
                folders[folder_of(module)].add(folder_of(target))
    return between, folders


def lone_importers(package: Path = PACKAGE) -> dict[str, str]:
    """Modules that one other module of the same folder imports, and nothing else, with that importer."""
    known = modules(package)
    importers: dict[str, set[str]] = defaultdict(set)
    for module, path in known.items():
        for each in imports(path, known):
            if each.module in known and each.module != module:
                importers[each.module].add(module)
    return {
        module: next(iter(by))
        for module, by in sorted(importers.items())
        if len(by) == 1 and next(iter(by)).rpartition(".")[0] == module.rpartition(".")[0]
    }


def used_twice(package: Path = PACKAGE) -> tuple[dict[str, int], dict[str, int]]:
    """File names and class names that stand more than once in the hand-kept code, with how often."""
    files: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    for path in modules(package).values():
        if is_generated(path):
            continue
        if path.name != "__init__.py":
            files[path.name] += 1
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes[node.name] += 1
    return (
        {name: count for name, count in files.most_common() if count > 1},
        {name: count for name, count in classes.most_common() if count > 1},
    )


def main() -> None:
    known = modules()
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in known.values()}
    kept = {path: lines for path, lines in lengths.items() if not is_generated(path)}
    generated = [lines for path, lines in lengths.items() if is_generated(path)]
    largest = max(kept, key=lambda path: kept[path])
    between, folders = arrows_between()
    alone = lone_importers()
    files, classes = used_twice()
    print(f"hand-kept: {len(kept)} files, {sum(kept.values())} lines, median {median(kept.values()):.0f}")
    print(f"largest: {largest.relative_to(PACKAGE.parent)}, {kept[largest]} lines")
    print(f"generated: {len(generated)} files, {sum(generated)} lines")
    print(f"circles: {len(circles(between))} of modules, {len(circles(folders))} of folders")
    print(f"modules with one importer, in their own folder: {len(alone)}")
    for module, by in alone.items():
        print(f"    {module} <- {by} ({lengths[known[module]]} lines)")
    print(f"file names used more than once: {len(files)} ({_listed(files)})")
    print(f"class names used more than once: {len(classes)} ({_listed(classes)})")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


if __name__ == "__main__":
    main()
