"""Beyond one machine: ``caption`` into a directory of parts, its ``merge`` and ``export``, and ``gate``."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from visionpipe.errors import ParameterError, VisionPipeError, missing_extra

if TYPE_CHECKING:
    from visionpipe.pipeline.budget import Caps
    from visionpipe.pipeline.job import Job
    from visionpipe.pipeline.parts import Parts
    from visionpipe.pipeline.worker import Worker
    from visionpipe.results import ItemResult
    from visionpipe.sources.find import SourceListing
    from visionpipe.stages.keys import Recipe
    from visionpipe.stages.plain_text import TextForm

GATE = "VISIONPIPE_GATE"
STOPPED = 75
"""The exit status of a run that was told to stop and can go on (EX_TEMPFAIL)."""


def is_parts(spec: str) -> bool:
    """Whether an output is a directory of parts: it ends in a slash."""
    return spec.endswith("/") and not re.match(r"[a-z]+:(?!//)", spec)


def shard_of(text: str | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Which shard of how many, from ``i/n`` (from 0), or ``auto``: of a Slurm array or a Kubernetes indexed
    job.

    Raises:
        ParameterError: no such shard, or an environment that tells only half of it.
    """
    if text is None:
        return None
    if text != "auto":
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or int(found[1]) >= int(found[2]):
            raise ParameterError(
                f"{text!r} is no shard",
                cure="Write it as i/n, with i from 0 to n-1, or auto.",
                subject="--shard",
            )
        return int(found[1]), int(found[2])
    if "SLURM_ARRAY_TASK_ID" in environment:
        names = (
            "SLURM_ARRAY_TASK_ID",
            "SLURM_ARRAY_TASK_MIN",
            "SLURM_ARRAY_TASK_MAX",
            "SLURM_ARRAY_TASK_COUNT",
        )
        task, least, most, count = (_number(environment, name) for name in names)
        if most - least + 1 != count:
            raise ParameterError(
                f"the array {least} to {most} has {count} tasks, so it has gaps or a step",
                cure="Submit it as --array=0-15, without a step.",
                subject="--shard auto",
            )
        return task - least, count
    index, count = _number(environment, "JOB_COMPLETION_INDEX"), _number(environment, "VISIONPIPE_SHARDS")
    if index >= count:
        raise ParameterError(
            f"the index {index} is none of {count}",
            cure="Set VISIONPIPE_SHARDS to completions.",
            subject="--shard auto",
        )
    return index, count


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isdecimal():
        raise ParameterError(
            f"{name} is {'not set' if not value else repr(value)}",
            cure="Run it in a Slurm array, or set JOB_COMPLETION_INDEX and VISIONPIPE_SHARDS, or give i/n.",
            subject="--shard auto",
        )
    return int(value)


def every_s(durability: str) -> float | None:
    """None for ``item``; the seconds of ``2s``.

    Raises:
        ParameterError: neither.
    """
    if durability == "item":
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", durability)
    if found is None or float(found[1]) <= 0:
        raise ParameterError(
            f"{durability!r} is no durability", cure="Use item, or such as 2s.", subject="--durability"
        )
    return float(found[1])


def refuse_without_meaning(given: Mapping[str, object]) -> None:
    """Raises ParameterError for an option that a directory of parts knows nothing of."""
    for name, value in given.items():
        if value:
            raise ParameterError(
                "a directory of parts knows no such option",
                cure="Leave it out, or write to a file.",
                subject=f"--{name.replace('_', '-')}",
            )


def _require_pyarrow(address: str) -> None:
    """Raises ConfigurationError where a directory of parts can be neither written nor read."""
    if importlib.util.find_spec("pyarrow") is None:
        raise missing_extra("a directory of parts needs pyarrow", "parquet", subject=address)


def caption_parts(
    job: Job,
    sources: SourceListing,
    output: str,
    *,
    gate: str | None,
    caps: Caps | None,
    concurrency: int,
    durability: str,
    state: Path | None,
    retry_failed: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Works the listing off into ``output``."""
    _require_pyarrow(output)
    import orjson

    from visionpipe.cli.progress import reach_line
    from visionpipe.pipeline.events import Event, ServiceBack, ServiceLost
    from visionpipe.pipeline.part_writer import PartsLedger
    from visionpipe.pipeline.worker import WorkerClosed

    gate = gate or os.environ.get(GATE) or None
    if sources.shard is not None and gate is None and not quiet:
        typer.echo(f"each shard keeps its own limit and budget; --gate (or {GATE}) shares them", err=True)
    counts: Counter[str] = Counter()
    problem: VisionPipeError | None = None
    stopped, left = False, 0
    begun = time.monotonic()

    def hear(event: Event) -> None:
        if isinstance(event, ServiceLost | ServiceBack) and not quiet:
            typer.echo(reach_line(event), err=True)

    def opened() -> Worker:
        ledger = PartsLedger(
            output, every_s=every_s(durability), state=state, outage_seconds=job.outage_seconds
        )
        return job.open(
            gate=gate,
            budget=caps,
            ledger=ledger,
            concurrency=concurrency,
            retry_failed=retry_failed,
            force=force,
            on_event=hear,
        )

    def tell_all(results: Iterable[ItemResult]) -> None:
        for result in results:
            counts[result.outcome.value] += 1
            if as_json:
                typer.echo(orjson.dumps(result.to_json()))
            elif result.failure is not None and not quiet:
                typer.echo(f"failed: {result.source}: {result.failure.reason}", err=True)

    with _stoppable():
        try:
            found = iter(sources)
            worker = opened()
        except KeyboardInterrupt:
            raise typer.Exit(STOPPED) from None
        with worker:
            results = worker.map_unordered(found)
            try:
                tell_all(results)
            except KeyboardInterrupt:
                stopped = True
                worker.stop(0)
                typer.echo("stopping: what is under way is awaited and stored; again ends at once", err=True)
                left = _wound_up(worker)
                try:
                    tell_all(results)
                except WorkerClosed:
                    pass  # as it was told
                except VisionPipeError as error:
                    problem = error
            except VisionPipeError as error:
                problem = error
            # What is done is stored now, and the process ends.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ends = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing to do"
    typer.echo(f"{output}: {ends} in {time.monotonic() - begun:.1f} s", err=True)
    if left:
        typer.echo(f"not awaited: {left} requests, which are asked again and may be billed twice", err=True)
        # Their threads would keep the process until they have their answers.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STOPPED)
    if problem is not None:
        raise problem
    if stopped:
        raise typer.Exit(STOPPED)
    if counts["failed"] or not counts:
        raise typer.Exit(1)


def _wound_up(worker: Worker) -> int:
    """Stops it; a second signal ends the waiting. Returns how many items are left under way."""
    try:
        return worker.stop()
    except KeyboardInterrupt:
        return worker.stop(0)


class Terminated(KeyboardInterrupt):
    """SIGTERM came. A type of its own because Python, once a plain KeyboardInterrupt has left code that was
    compiled from text (as every dataclass is), ends by SIGINT whatever status it is told."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, as a scheduler sends it, ends the run as Ctrl-C does."""

    def stop(number: int, frame: Any) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def export_parts(address: str, outputs: Sequence[str], options: Any) -> int:
    """Writes outputs from a directory of parts; returns how many items could not be written."""
    _require_pyarrow(address)
    from visionpipe.cli.outputs import Locator
    from visionpipe.files.stores import open_store
    from visionpipe.pipeline.part_mirror import PartMirror
    from visionpipe.pipeline.parts import Parts
    from visionpipe.sinks.opening import open_sink, sink_kind
    from visionpipe.sinks.sink import export

    refused = 0
    parts = Parts(open_store(address))
    recipe = _last_recipe(parts)
    if recipe is not None:
        form = _form(recipe.template, recipe.schema, options.text.prefix, options.text.suffix)
        options = replace(options, text=form, schema=recipe.schema)
    with ExitStack() as ends:
        if any(sink_kind(spec)[0] == "pairs" for spec in outputs):
            # Every answer of an item is looked for, by its name.
            folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="visionpipe-"))
            mirror = PartMirror(parts.store, Path(folder) / "parts.journal", "export")
            known = Locator(mirror.path)
            ends.callback(known.close)
            options = replace(options, answers=known.answers, prompt=known.prompt)
        for spec in outputs:
            written, errors = export(parts.results(), open_sink(spec, options))
            typer.echo(f"{spec}: {written} items", err=True)
            for error in errors:
                typer.echo(f"not written: {error}", err=True)
            refused += len(errors)
    return refused


def _last_recipe(parts: Parts) -> Recipe | None:
    """Of the job that stored the newest row; None where a version wrote the parts that noted none."""
    from visionpipe.pipeline.part_edits import recipes

    return recipes(parts.store).get(parts.last_job() or "")


def _form(template: str, schema: Any, prefix: str, suffix: str) -> TextForm:
    """How the answers of a job become text."""
    from visionpipe.client.settings import own_presets
    from visionpipe.prompts.presets import preset_recorded
    from visionpipe.stages.plain_text import form_of

    return form_of(preset_recorded(template, schema, own_presets()), prefix, suffix)


def export_beside(
    job: str, source: str, output: str, field: str | None, existing: str, prefix: str, suffix: str
) -> None:
    """Writes ``source``'s files again into ``output``, with the answers in them.

    Raises:
        VisionPipeError: what every file would meet.
    """
    _require_pyarrow(source)
    from visionpipe.files.stores import open_store
    from visionpipe.pipeline.parts import Parts
    from visionpipe.pipeline.reading import JournalView
    from visionpipe.sinks.beside import write_beside
    from visionpipe.sources.shards import units_of

    if existing not in ("keep", "overwrite"):
        raise ParameterError(
            f"{existing!r} means nothing for a whole file",
            cure="Use keep or overwrite.",
            subject="--existing",
        )
    if not is_parts(output):
        raise ParameterError(
            "the files of a source go into a folder",
            cure="End it in a slash, such as -o captioned/.",
            subject="--output",
        )
    if field is not None and not re.fullmatch(r"[^\s./][^\s/]*", field):
        raise ParameterError(
            f"{field!r} names no column and no file", cure="Use such as caption or txt.", subject="--field"
        )
    units = units_of(source)
    with ExitStack() as closing:
        if is_parts(job):
            parts = Parts(open_store(job))
            held, answers = parts.holds_any, parts.answers
            recipe = _last_recipe(parts)
            asked = ("", None) if recipe is None else (recipe.template, recipe.schema)
        else:
            view = JournalView.open(job)
            closing.callback(view.close)
            held, answers = view.holds_any, view.answers_of
            last = view.last_job()
            asked = (view.template(last) or "", view.schema(last))
        form = _form(*asked, prefix, suffix)
        if not held([f"{unit.address}/" for unit in units]):
            raise ParameterError(
                "the job knows nothing of what is in it",
                cure="Write the source exactly as it was given to the job, with the same folder before it.",
                subject=f"--beside {source}",
            )
        ends: Counter[str] = Counter()
        kept = 0
        for done in write_beside(
            units, open_store(output), answers(), name=field, form=form, overwrite=existing == "overwrite"
        ):
            ends.update(done.ends)
            kept += done.kept
            if not done.kept:
                backup = f" (what was there is {done.backup})" if done.backup else ""
                typer.echo(f"{output}{done.name}: {_told(done.ends)}{backup}", err=True)
    written = len(units) - kept
    typer.echo(f"{output}: {written} file{'s' * (written != 1)} written: {_told(ends)}", err=True)
    if kept:
        typer.echo(f"kept as they were: {kept} files that were there (--existing overwrite)", err=True)


def _told(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in sorted(ends.items())) or "nothing"


def merge(
    directory: Annotated[str, typer.Argument(help="A directory of parts, such as s3://bucket/out/.")],
    prune: Annotated[
        bool, typer.Option("--prune", help="Take away parts that were replaced a day ago or more.")
    ] = False,
) -> None:
    """Merge a directory of parts into large ones; writers and readers need not stop."""
    _require_pyarrow(directory)
    from visionpipe.files.stores import open_store
    from visionpipe.pipeline.part_edits import merge_edits
    from visionpipe.pipeline.parts import Parts

    store = open_store(directory)
    done = Parts(store).merge(prune=prune)
    merge_edits(store)
    removed = f", {done.removed} removed" if done.removed else ""
    typer.echo(f"{directory}: {done.rows} items of {done.sources} parts in {done.parts}{removed}")


def gate(
    address: Annotated[str, typer.Argument(help="Of a shared gate, such as redis://host:6379/0.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Show the gates that a server keeps: level, requests under way, holders, what is spent."""
    import orjson

    from visionpipe.pipeline.redis_gate import gate_states

    states = gate_states(address)
    if as_json:
        rows = {
            name: {
                "level": state.level,
                "busy": state.busy,
                "pause_s": state.pause_s,
                "refusals": state.refusals,
                "holders": state.holders,
                "requests": state.spent.requests,
                "tokens": state.spent.tokens,
                "money": str(state.spent.money),
                "reserved_tokens": state.reserved.tokens,
            }
            for name, state in states.items()
        }
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    for name, state in states.items():
        pause = f", paused for {state.pause_s:.1f} s" if state.pause_s else ""
        typer.echo(
            f"{name}: {state.busy} of {state.level} under way, {state.holders} holders{pause}; "
            f"{state.spent.requests} requests, {state.spent.tokens} tokens, {state.refusals} refusals"
        )
    if not states:
        typer.echo("no gate is kept there")
