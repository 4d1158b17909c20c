"""``visionpipe journal status|check|repair|merge``: what a journal holds, whether it is whole, what is left
of a damaged one saved, and several made into one; and ``visionpipe export``: an output written again from
one, also while the job is running.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionpipe.cli import caption as main_job
from visionpipe.cli.options import one_line
from visionpipe.cli.parts import export_beside, export_parts, is_parts

if TYPE_CHECKING:
    from visionpipe.pipeline.part_status import PartsStatus
    from visionpipe.pipeline.status import JournalStatus
    from visionpipe.store.repair import DatabaseKind, Report

journal = typer.Typer(
    help="Show what a journal holds, check it, save what can be read of a damaged one, make one of several.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="The journal of a job, or of a clip's spans.")]


@journal.command()
def status(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOURNAL",
            help="The job's journal, such as captions.jsonl.journal, or directory of parts.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Show how far a job is, what it has cost, and whether a run is at it now."""
    import time

    import orjson

    from visionpipe.errors import missing_extra
    from visionpipe.pipeline.status import read_status

    if is_parts(job) or Path(job).is_dir():
        from visionpipe.files.stores import open_store

        try:
            from visionpipe.pipeline.part_status import read_parts_status
        except ImportError as error:
            raise missing_extra("a directory of parts needs pyarrow", "parquet", subject=job) from error
        found: JournalStatus | PartsStatus = read_parts_status(open_store(job), time.time())
    else:
        found = read_status(job, time.time())
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


def _kinds() -> list[DatabaseKind]:
    from visionpipe.pipeline.reading import is_readable
    from visionpipe.pipeline.tables import JOURNAL
    from visionpipe.store.repair import DatabaseKind
    from visionpipe.video.spans import SPANS

    return [DatabaseKind(JOURNAL, is_readable), DatabaseKind(SPANS)]


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


def export(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOURNAL",
            help="The job's journal, such as captions.jsonl.journal, or directory of parts.",
        ),
    ],
    output: main_job.Outputs_ = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder the images are in now, for galleries, shards and sidecars; default where "
            "the job found them."
        ),
    ] = None,
    naming: main_job.Naming = None,
    existing: main_job.Existing_ = "keep",
    include_skipped: main_job.IncludeSkipped = False,
    prefix: main_job.Prefix = "",
    suffix: main_job.Suffix = "",
    beside: Annotated[
        str | None,
        typer.Option(
            help="The job's source, tables or tar shards, as it was given to the job: its files are written "
            "again into the folder after -o, with the answers beside each row or picture.",
            metavar="SOURCE",
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            help="With --beside: what the new columns begin with, default caption; or the new files' ending, "
            "default txt (json: the whole result)."
        ),
    ] = None,
) -> None:
    """Write an output from a job's journal, or its directory of parts."""
    from visionpipe.cli.outputs import Locator, export_outputs, kept_line, tidied_line
    from visionpipe.errors import ParameterError
    from visionpipe.pipeline.reading import recorded_schema
    from visionpipe.sinks.opening import SinkOptions
    from visionpipe.sinks.ownership import chosen_existing
    from visionpipe.stages.plain_text import TextForm

    if not output:
        raise ParameterError("no output is named", cure="Name one with -o.", subject="--output")
    failed = False
    if beside is None and field is not None:
        raise ParameterError("it names what is put beside a source", cure="Add --beside.", subject="--field")
    if beside is not None:
        given = {"--images": images, "--naming": naming, "--include-skipped": include_skipped}
        unfit = next((name for name, value in given.items() if value), None)
        if unfit is not None or len(output) > 1:
            raise ParameterError(
                "files beside a source's are written with no such option and to one folder",
                cure="Leave it out, or export twice.",
                subject=unfit or "--output",
            )
        export_beside(job, beside, output[0], field, existing, prefix, suffix)
        return
    if is_parts(job):
        text = TextForm(prefix, suffix)
        shape = SinkOptions(
            naming=naming,
            existing=chosen_existing(existing),
            include_skipped=include_skipped,
            start_over=True,
            text=text,
        )
        if export_parts(job, output, shape):
            raise typer.Exit(1)
        return
    journal = Path(job)
    with closing(Locator(journal, images)) as locate:
        options = SinkOptions(
            locate=locate,
            naming=naming,
            existing=chosen_existing(existing),
            include_skipped=include_skipped,
            start_over=True,
            text=TextForm(prefix, suffix),
            schema=recorded_schema(journal),
            answers=locate.answers,
            prompt=locate.prompt,
        )
        for done in export_outputs(journal, output, options):
            typer.echo(f"{done.spec}: {done.written} items", err=True)
            if done.unreadable:
                words = "results in the journal cannot be read; run the job again to ask for them"
                typer.echo(f"{done.unreadable} {words}", err=True)
            if done.kept:
                typer.echo(kept_line(done.kept), err=True)
            if done.tidied:
                typer.echo(tidied_line(done.tidied), err=True)
            for error in done.refused:
                typer.echo(f"not written: {error}", err=True)
                failed = True
    if failed:
        raise typer.Exit(1)
