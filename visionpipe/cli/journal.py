"""``visionpipe journal status|check|repair|merge``: what a journal holds, whether it is whole, what is
left of a damaged one saved, and several made into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionpipe.cli.plain import one_line

if TYPE_CHECKING:
    from visionpipe.store.repair import Kind, Report

journal = typer.Typer(
    help="Show what a journal holds, check it, save what can be read of a damaged one, make one of several.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="The journal of a job, or of a clip's spans.")]


@journal.command()
def status(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Show how far a job is, what it has cost, and whether a run is at it now."""
    import time

    import orjson

    from visionpipe.pipeline.status import read_status

    found = read_status(file, time.time())
    if as_json:
        typer.echo(orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2))
        return
    for line in found.lines():
        typer.echo(one_line(line))


@journal.command()
def check(file: File) -> None:
    """Look through a journal, row by row; nothing is changed."""
    from visionpipe.store.repair import check as look_through

    report = look_through(file, _kinds())
    _show(file, report)
    if not report.ok:
        typer.echo(f"visionpipe journal repair {file} saves what can be read.", err=True)
        raise typer.Exit(1)


@journal.command()
def merge(
    files: Annotated[list[Path], typer.Argument(help="Journals of one job; they stay as they are.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new journal.")],
) -> None:
    """Make one journal of several of one job: an answer wins over a failure, the later of two answers."""
    from visionpipe.errors import ParameterError
    from visionpipe.pipeline.merge import merge_journals

    if len(files) < 2:
        raise ParameterError(
            "there is nothing to merge it with", cure="Name two or more.", subject=f"journal merge {files[0]}"
        )
    merged = merge_journals(files, output)
    ends = ", ".join(f"{count} {outcome}" for outcome, count in merged.outcomes.items()) or "nothing yet"
    typer.echo(f"{output}: {sum(merged.outcomes.values())} items of {len(files)} journals: {ends}")
    if merged.shared:
        typer.echo(f"in several of them: {merged.shared}")


@journal.command()
def repair(file: File) -> None:
    """Save what can be read of a damaged journal; the damaged file is kept beside it."""
    from visionpipe.store.repair import repair as save

    report = save(file, _kinds())
    _show(file, report)
    if report.kept_as is None:
        typer.echo("Nothing to repair; the file is as it was.", err=True)
    else:
        typer.echo(f"The damaged file is now {report.kept_as}.", err=True)
        typer.echo("What could not be read is asked again by the next run.", err=True)


def _kinds() -> list[Kind]:
    from visionpipe.pipeline.reading import is_readable
    from visionpipe.pipeline.tables import JOURNAL
    from visionpipe.store.repair import Kind
    from visionpipe.video.spans import SPANS

    return [Kind(JOURNAL, is_readable), Kind(SPANS)]


def _show(file: Path, report: Report) -> None:
    typer.echo(f"{file}: {report.title}, version {report.version}")
    for table, count in sorted(report.rows.items()):
        bad = report.unreadable.get(table, 0)
        typer.echo(f"{table}: {count} rows" + (f", and {bad} that make no sense" if bad else ""))
    for table in sorted(set(report.unreadable) - set(report.rows)):
        typer.echo(f"{table}: 0 rows, and {report.unreadable[table]} that make no sense")
    for problem in report.problems:
        typer.echo(f"damaged: {problem}")
    if report.ok:
        typer.echo("no damage found")
