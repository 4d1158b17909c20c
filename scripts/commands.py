"""The ``--help`` of every command, from the command line itself; ``scripts/pages.py`` writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from typer.main import get_command  # noqa: E402  after the checkout's own package

from visionpipe.cli.app import make_app  # noqa: E402

WIDTH = 100
HEAD = """# Commands

What `visionpipe COMMAND --help` shows, generated from the command line itself.
"""


def page() -> str:
    """The whole page."""
    pieces = [HEAD]
    waiting: list[tuple[str, Any, Any]] = [("visionpipe", get_command(make_app()), None)]
    while waiting:
        name, command, parent = waiting.pop(0)
        context = command.context_class(
            command,
            info_name=name,
            parent=parent,
            terminal_width=WIDTH,
            max_content_width=WIDTH,
            help_option_names=["-h", "--help"],
        )
        path = context.command_path
        pieces.append(f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
        inner = getattr(command, "commands", {})
        waiting += [(inner_name, inner[inner_name], context) for inner_name in inner]
    return "\n".join(pieces)
