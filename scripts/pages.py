"""Writes the generated pages of the documentation, each from what it is about.

    python scripts/pages.py            write them
    python scripts/pages.py --check    exit with 1 where one is not what it should be

docs/api.md and docs/api/ come from the package's public names, docs/commands.md from the command line,
docs/models.md from the catalog.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import api_reference, commands  # noqa: E402  after the checkout's own package
from visionpipe.registry.lookup import Registry  # noqa: E402
from visionpipe.registry.table import markdown_table, model_rows  # noqa: E402

MODELS = """# Models and limits

Generated from the catalog, as it stood on {read:%Y-%m-%d}. `?` stands where nobody states a figure, `-`
where the model does not have the thing; what sources contradict is a doubt, and enforced nowhere.
`visionpipe models` prints the same, `visionpipe models glm-4.6v` one record with the source and date of
each fact.

{table}

## Doubts

{doubts}
"""


def models_page() -> str:
    """Every model with its limits, and what is in doubt about it."""
    registry = Registry.load()
    doubts = [
        f"- `{model.id}`, {field.replace('_', ' ')}: {doubt}"
        for model in registry.models()
        for field, doubt in model.doubts.items()
    ]
    table = markdown_table(model_rows(registry))
    return MODELS.format(read=registry.read, table=table, doubts="\n".join(doubts))


def every_page() -> dict[str, str]:
    """The generated pages, below docs/."""
    pages = {"api.md": api_reference.page(), "commands.md": commands.page(), "models.md": models_page()}
    return pages | {f"api/{name}.md": text for name, text in api_reference.subject_pages().items()}


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say which are not as they should be")
    check = parser.parse_args().check
    stale = 0
    for name, wanted in every_page().items():
        path = ROOT / "docs" / name
        if path.exists() and path.read_text("utf-8") == wanted:
            continue
        stale += 1
        if check:
            sys.stderr.write(f"docs/{name} is stale: run python scripts/pages.py\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted, "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
