"""The command line: one module a command, each a thin caller of the library.

Nothing heavy is imported until a command runs, so that ``--help`` comes at once.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; exits with 0 (all well), 1 (some failed), 2 (usage) or 130 (interrupted)."""
    from visionpipe.cli.app import run

    run()
