"""Small faults put into the layers without I/O, one at a time, to see which their tests notice.

    python scripts/mutants.py --most 40                     40 of all faults, drawn by a fixed seed
    python scripts/mutants.py --most 40 wire/sse.py         of one module

A fault is another comparison, ``and`` for ``or``, ``min`` for ``max``, another number, or a negated
condition. It is made in a copy of the checkout, where the tests of the module's folder are run; the faults
that none of them notices are listed. Nothing here fails a build: each survivor is a place to look.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PURE = ("prompts", "registry", "stages", "wire")
COPIED = ("visionpipe", "tests", "scripts", "samples", "docs", "pyproject.toml", "README.md")
LONGEST_S = 300
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def faults(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Each fault that one node can have: what it is, and the node with it."""
    other = copy.deepcopy(node)
    match other:
        case ast.Compare(ops=[only]):
            other.ops = [COMPARISONS[type(only)]()]
            yield "another comparison", other
        case ast.BoolOp():
            other.op = ast.Or() if isinstance(other.op, ast.And) else ast.And()
            yield "and for or", other
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            other.func = ast.Name("max" if name == "min" else "min", ast.Load())
            yield f"{name} replaced", other
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            other.value = number + 1
            yield f"{number + 1} for {number}", other
        case ast.If() | ast.IfExp():
            other.test = ast.UnaryOp(ast.Not(), other.test)
            yield "a condition negated", other


class Replacing(ast.NodeTransformer):
    """Puts ``new`` in the place of ``old``."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def mutants(path: Path) -> Iterator[tuple[int, str, str]]:
    """Every faulty source of a module: the line, what the fault is, and the text."""
    source = path.read_text("utf-8")
    count = sum(1 for _ in ast.walk(ast.parse(source)))
    for place in range(count):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[place]
        for what, new in faults(node):
            changed = Replacing(node, new).visit(tree)
            yield getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(changed))


def main() -> int:
    parser = argparse.ArgumentParser(description="List the faults that no test notices.")
    parser.add_argument("modules", nargs="*", help="below visionpipe/; default: the layers without I/O")
    parser.add_argument("--most", type=int, default=40, help="how many faults to try")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    package = ROOT / "visionpipe"
    chosen = [package / name for name in given.modules]
    paths = chosen or [path for folder in PURE for path in sorted((package / folder).glob("*.py"))]
    every = [(path, *mutant) for path in paths for mutant in mutants(path)]
    tried = random.Random(given.seed).sample(every, min(given.most, len(every)))
    survivors = 0
    with tempfile.TemporaryDirectory() as place:
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(place, name))
        for path, line, what, text in tried:
            relative = path.relative_to(ROOT)
            copied = Path(place, relative)
            original = copied.read_text("utf-8")
            copied.write_text(text, "utf-8")
            tests = f"tests/{relative.parts[1]}"
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests]
            try:
                ended = subprocess.run(command, cwd=place, capture_output=True, timeout=LONGEST_S).returncode
            except subprocess.TimeoutExpired:
                ended = 1  # a fault that never ends is noticed
            copied.write_text(original, "utf-8")
            if ended == 0:
                survivors += 1
                print(f"{relative}:{line}: {what}", flush=True)
    print(f"{survivors} of {len(tried)} faults were not noticed; {len(every)} could be tried")
    return 0


if __name__ == "__main__":
    sys.exit(main())
