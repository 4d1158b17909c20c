"""The reference of every public name, from the package itself; ``scripts/pages.py`` writes it.

The first sentence of a name's docstring stands beside it in the list; the pages by subject have the whole.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import visionpipe  # noqa: E402  the checkout's own package, wherever this is run from

PAGE = ROOT / "docs" / "api.md"
HEAD = """# Public names

What `import visionpipe as vp` gives: {count} names, generated from the package. Nothing else is promised to
stay, but for `visionpipe.testing` and `visionpipe.adapters`.
"""


def parsed(module: str) -> ast.Module:
    """The source of a module of the package, by its dotted name."""
    path = ROOT / Path(*module.split("."))
    source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(source.read_text("utf-8"))


def docstrings(module: str) -> dict[str, str]:
    """The docstring of each class, function and documented assignment of a module."""
    tree = parsed(module)
    found: dict[str, str] = {module.rpartition(".")[2]: ast.get_docstring(tree) or ""}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = ast.get_docstring(node) or ""
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            match after:
                case ast.Expr(ast.Constant(str(text))):
                    found[node.target.id] = text
                case _:
                    found[node.target.id] = ""
    return found


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join(text.split("\n\n", 1)[0].split())
    end = paragraph.find(". ")
    return paragraph if end < 0 else paragraph[: end + 1]


def page() -> str:
    """The page as it should be."""
    known = {module: docstrings(module) for module in visionpipe._NAMES}
    lines = [HEAD.format(count=len(visionpipe.__all__)), "| name | what it is |", "|---|---|"]
    for name in visionpipe.__all__:
        said = first_sentence(known[visionpipe._HOMES[name]][name]).replace("|", r"\|")
        lines.append(f"| `{name}` | {said} |")
    return "\n".join(lines) + "\n"


SUBJECTS = {
    "clients": ("Clients", "client transport"),
    "values": ("Requests, replies and results", "media request reply results values"),
    "jobs": ("Jobs", "pipeline"),
    "media": ("Images, clips and sources", "images clips sources video"),
    "words": ("Prompts, schemas and quality", "prompts stages"),
    "outputs": ("Outputs", "sinks"),
    "models": ("Models and endpoints", "registry"),
    "service": ("What the service answers", "wire"),
    "errors": ("Errors", "errors"),
}
"""The pages with the names in full: title, and the parts of the package whose names are on it."""


def subject_pages() -> dict[str, str]:
    """Every public name in full, by subject: page's name to its text, which mkdocstrings fills in."""
    pages = {}
    for page_name, (title, parts) in SUBJECTS.items():
        names = [
            name for name in visionpipe.__all__ if visionpipe._HOMES[name].split(".")[1] in parts.split()
        ]
        lines = [f"# {title}"]
        for name in names:
            home = visionpipe._HOMES[name]
            path = home if home.endswith(f".{name}") else f"{home}.{name}"
            lines.append(f'::: {path}\n    options: {{ heading: "vp.{name}", toc_label: "{name}" }}')
        pages[page_name] = "\n\n".join(lines) + "\n"
    return pages
