"""The command line: one module a command, each a thin caller of the library.

Nothing heavy is imported until a command runs, so that ``--help`` comes at once.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; exits with 0 (all well), 1 (some failed), 2 (usage) or 130 (interrupted)."""
    import gc

    # Nearly all that a command makes is freed as it is dropped, and what it has imported stays: to look
    # through that again and again takes a thirtieth of a job's CPU.
    gc.set_threshold(20_000, 20, 20)
    from visionpipe.cli.app import run

    run()
