"""The commands, and how an error ends one.

Exit status: 0 all well, 1 something failed or no image was found at all, 2 the command or its settings are
wrong, 130 interrupted.

``--help`` is plain text, with a command's options in groups and examples: the boxes of a richer help cost a
third of the time until its first line.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

from visionpipe.cli.options import one_line
from visionpipe.errors import CapabilityError, ConfigurationError, ParameterError, VisionPipeError

GROUPS: dict[str, tuple[str, ...]] = {
    "Question": ("prompt", "preset", "schema", "lang", "system", "ask", "quality"),
    "Model": (
        *("model", "base_url", "sticky", "catalog", "header", "max_tokens", "temperature", "top_p"),
        *("thinking", "reasoning_effort", "extra"),
    ),
    "Images and clips": (
        *("column", "max_side", "max_pixels", "fetch", "allow_private", "publish", "near_duplicates"),
        *("longest", "frames_per_span", "threshold", "min_scene", "summary", "over_limit", "inline_video"),
    ),
    "Outputs": (
        *("output", "journal", "naming", "existing", "include_skipped", "prefix", "suffix", "prune"),
        "images",
    ),
    "Pace and limits": (
        *("concurrency", "rpm", "tpm", "budget", "budget_tokens", "budget_requests", "item_seconds"),
        *("job_seconds", "outage_seconds", "via", "gate", "shard", "durability", "count", "sample", "seed"),
    ),
    "Again": ("retry_failed", "force"),
}
"""The heading of each group, and the parameters under it; what is in none stands under "Options"."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "describe": (
        "visionpipe describe cat.jpg",
        "visionpipe describe before.png after.png -p 'What changed?'",
        "cat photo.jpg | visionpipe describe - --json",
    ),
    "caption": (
        "visionpipe caption photos/ -o captions.jsonl",
        "visionpipe caption photos/ -o txt: -o gallery.html --preset alt_text",
        "visionpipe caption photos/ -o both.csv -o txt: --preset caption --preset tags",
        "visionpipe caption list.csv -o out.csv -p 'Describe the {product}.' --budget '5 CNY'",
        "visionpipe caption photos/ -o captions.jsonl --sample 200",
        "find . -name '*.jpg' -print0 | visionpipe caption - -o out.jsonl",
        "visionpipe caption 's3://b/{000..127}.tar' -o s3://b/out/ --shard 3/16 --gate redis://host",
    ),
    "merge": ("visionpipe merge s3://bucket/out/ --prune",),
    "gate": ("visionpipe gate redis://host:6379/0",),
    "check": (
        "visionpipe check photos/ --model glm-4v-plus-0111",
        "visionpipe check photos/ -o captions.jsonl -q",
    ),
    "export": (
        "visionpipe export captions.jsonl.journal -o captions.csv",
        "visionpipe export s3://bucket/out/ -o captions.parquet",
        "visionpipe export captions.jsonl.journal -o xmp: --images /mnt/photos",
    ),
    "journal status": ("visionpipe journal status captions.jsonl.journal",),
    "journal check": ("visionpipe journal check captions.jsonl.journal",),
    "journal repair": ("visionpipe journal repair captions.jsonl.journal",),
    "journal merge": ("visionpipe journal merge part-1.journal part-2.journal -o captions.jsonl.journal",),
    "mcp": (
        "visionpipe mcp --root ~/Pictures",
        "visionpipe mcp --root photos --http --budget '5 CNY'",
    ),
    "models": ("visionpipe models", "visionpipe models glm-4.6v", "visionpipe models --endpoints --json"),
    "review": (
        "visionpipe review captions.jsonl.journal",
        "visionpipe review s3://bucket/out/ --images photos",
        "visionpipe review captions.jsonl.journal --images /mnt/photos --who Ana --no-browser",
    ),
    "sandbox": (
        "visionpipe sandbox --port 8011",
        "visionpipe sandbox --answers saw --log requests.jsonl",
    ),
    "status": ("visionpipe status captions.jsonl.journal", "visionpipe status s3://bucket/out/ --json"),
    "video": (
        "visionpipe video clip.mp4 -o clip.srt -o clip.html",
        "visionpipe video clips/ -o srt:subtitles/ --model glm-4.6v",
        "visionpipe video clip.mp4 --ask 'When does it rain?'",
    ),
}


class GroupedCommand(TyperCommand):
    """A command whose help shows its options by ``GROUPS``, and its ``EXAMPLES``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments, then each group."""
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        rows |= {heading: [] for heading in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                rows["Arguments"].append(record)
                continue
            under = (heading for heading, names in GROUPS.items() if parameter.name in names)
            rows[next(under, "Options")].append(record)
        for heading in ("Arguments", *GROUPS, "Options"):
            if rows[heading]:
                with formatter.section(heading):
                    formatter.write_dl(rows[heading])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the examples, each in one line of its own, so that it can be copied."""
        examples = EXAMPLES.get(ctx.command_path.partition(" ")[2], ())
        if examples:
            formatter.write_paragraph()
            formatter.write("Examples:\n")
            for example in examples:
                formatter.write(f"  {example}\n")


USAGE_CODES = ("foreign_output", "collision")
"""Errors' codes that ask for another command: an output that is somebody else's, sidecars of one name."""

COMMANDS: dict[str, str] = {
    "describe": "describe",
    "caption": "caption",
    "check": "check",
    "export": "journal",
    "journal": "journal",
    "merge": "parts",
    "gate": "parts",
    "mcp": "mcp",
    "models": "models",
    "review": "review",
    "sandbox": "sandbox",
    "status": "journal",
    "video": "video",
}
"""The module of each command, in the order of the help."""


def make_app(only: str | None = None) -> typer.Typer:
    """The command line.

    Args:
        only: the one command that it is to have, which takes half the time to make; None: all.
    """
    app = typer.Typer(
        name="visionpipe",
        help="Photos and videos in, trusted text and data out.",
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        # Plain help: the boxes cost a third of the time until the first line.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(options)
    for name, module in COMMANDS.items():
        if only not in (None, name):
            continue
        command = getattr(importlib.import_module(f"visionpipe.cli.{module}"), name)
        if isinstance(command, typer.Typer):
            for registered in command.registered_commands:
                registered.cls = GroupedCommand
            app.add_typer(command, name=name)
        else:
            app.command(cls=GroupedCommand)(command)
    return app


def options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    log_json: bool = typer.Option(
        False, "--log-json", help="Log to stderr, one JSON object a line; stands before the command."
    ),
    verbose: bool = typer.Option(
        False,
        "--verbose",
        "-v",
        help="Log to stderr, each try at a request as well; stands before the command.",
    ),
) -> None:
    if log_json or verbose:
        import logging

        from visionpipe.logs import stop, to_stderr

        handler = to_stderr(logging.DEBUG if verbose else logging.INFO, as_json=log_json)
        context.call_on_close(lambda: stop(handler))
    if version:
        from visionpipe import __version__

        typer.echo(f"visionpipe {__version__}")
        raise typer.Exit


def run() -> NoReturn:
    """Run the command line and exit with its status."""
    status = status_of(sys.argv[1:])
    # All is done and told: who ends the process now would only take its status.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)


def status_of(arguments: Sequence[str]) -> int:
    """Run the command line, and return its status."""
    _make_streams_writable()
    # None of the options that stand before a command takes a value.
    name = next((word for word in arguments if not word.startswith("-")), None)
    try:
        app = make_app(name if name in COMMANDS else None)
        app(list(arguments), prog_name="visionpipe", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except VisionPipeError as error:
        typer.echo(f"visionpipe: {one_line(str(error))}", err=True)
        return 2 if _is_usage(error) else 1
    except KeyboardInterrupt:
        typer.echo("visionpipe: interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; there is nobody to tell.
        sys.stderr.close()
        return 1
    except OSError as error:
        # Errors of files are named where they happen; what is left is that stdout or stderr takes no more.
        with suppress(OSError):
            typer.echo(f"visionpipe: the output could not be written ({error.strerror or error})", err=True)
        return 1
    return 0


def _is_usage(error: VisionPipeError) -> bool:
    """Whether the command itself is wrong: told by its options, or by what its model cannot do at all."""
    if isinstance(error, ConfigurationError | ParameterError):
        return True
    if error.code in USAGE_CODES:
        return True
    return isinstance(error, CapabilityError) and error.scope == "job"


def _make_streams_writable() -> None:
    """A job started without stdout or stderr (``>&-``) has none of the two in Python, and their descriptors
    would go to the next files that are opened. One whose encoding lacks a character shows its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - for the whole process
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
