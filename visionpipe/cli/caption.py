"""``visionpipe caption``: the main job. A folder of images in, a file of captions out, resumable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from visionpipe.cli import options as connection
from visionpipe.cli.options import Quality, SchemaFile, chosen_schema, one_line, quality_policy
from visionpipe.cli.parts import caption_parts, is_parts, refuse_without_meaning, shard_of
from visionpipe.errors import OutputError, ParameterError, VisionPipeError

if TYPE_CHECKING:
    from visionpipe.cli.outputs import Outputs
    from visionpipe.pipeline.budget import Caps
    from visionpipe.pipeline.events import BatchEvent, Event
    from visionpipe.pipeline.run import Run
    from visionpipe.sources.find import SourceListing
    from visionpipe.sources.own_files import OwnFiles
    from visionpipe.values import Money


_NAMED = 3


def nothing_found(sources: Sequence[str], skips: Mapping[str, int]) -> str:
    """One line that names the sources and what there was instead.

    Args:
        sources: as they were given.
        skips: what was met and left alone, by reason.
    """
    names = ["standard input" if source == "-" else source for source in sources]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    instead = ", ".join(f"{reason}: {count}" for reason, count in sorted(skips.items()))
    cure = "`visionpipe video` takes videos." if skips.get("video") else "Check what was given."
    met = f" (left alone: {instead})" if instead else ""
    return one_line(f"0 images found in {', '.join(names[:_NAMED])}{more}{met}. {cure}")


WAYS = ("calls", "batch")


def in_batches(via: str, **meaningless: object) -> bool:
    """Whether ``via`` asks for batch files.

    Args:
        via: what stood after ``--via``.
        meaningless: options that have no meaning in a batch, by name; None where they were not given.

    Raises:
        ParameterError: another word, or an option that a batch cannot keep to.
    """
    if via not in WAYS:
        raise ParameterError(f"{via!r} is no way to ask", cure="Use calls or batch.", subject="--via")
    if via == "calls":
        return False
    for name, value in meaningless.items():
        if value is not None:
            raise ParameterError(
                "a batch file knows no such option",
                cure="Leave it out, or ask with --via calls.",
                subject=f"--{name.replace('_', '-')}",
            )
    return True


def step_teller(*, silent: bool) -> Callable[[BatchEvent], None]:
    """Writes each new state of each batch file to stderr, once."""
    told: dict[str, str] = {}

    def tell(event: BatchEvent) -> None:
        if silent:
            return
        if event.trouble is not None:
            typer.echo(f"the batch cannot be asked after at the moment: {event.trouble}", err=True)
        elif told.get(event.file) != event.state:
            told[event.file] = event.state
            named = f", {event.batch_id}" if event.batch_id else ""
            typer.echo(f"batch file of {event.lines} requests: {event.state}{named}", err=True)

    return tell


Outputs_ = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to: a .jsonl, .csv, .parquet, .sqlite, .html or .tar file, or sidecars with txt:, json: "
        "or xmp: (each optionally with a folder); kohya:FILE.json and imagefolder:PHOTOS/metadata.jsonl for "
        "trainers; pairs:FILE.jsonl of reviewed texts for training by preference; failures.csv for the "
        "failures alone; - writes JSON lines to standard output. Repeatable.",
    ),
]
Sources_ = Annotated[
    list[str],
    typer.Argument(
        help="Folders, globs, files, URLs, or .csv/.jsonl/.txt lists of them; - reads paths and URLs from "
        "standard input, one a line or NUL-separated."
    ),
]
PromptText = Annotated[
    str | None, typer.Option("--prompt", "-p", help="Ask this; may hold fields such as {path.stem}.")
]
PresetNames = Annotated[
    list[str] | None,
    typer.Option(
        "--preset",
        help="caption (the default), alt_text, ocr, tags, product, chart, screenshot, describe, or one of "
        "your own from visionpipe.toml. Several are asked in one request, and each has a column.",
    ),
]
JournalPath = Annotated[Path | None, typer.Option(help="The job's journal; default beside the output.")]
Naming = Annotated[
    str | None, typer.Option(help="Sidecars' file name, with {stem} or {name}; such as '{name}.txt'.")
]
Existing_ = Annotated[
    str,
    typer.Option(
        "--existing",
        help="Files in an output's place that somebody else wrote or edited: keep, or overwrite (a numbered "
        "backup stays); for txt: also append or prepend.",
        metavar="keep|overwrite|append|prepend",
    ),
]
IncludeSkipped = Annotated[
    bool, typer.Option("--include-skipped", help="Outputs hold files that were skipped, too.")
]
Prefix = Annotated[str, typer.Option(help="Put before every text of txt:, kohya:, imagefolder: and .tar.")]
Suffix = Annotated[str, typer.Option(help="Put after every such text.")]
Concurrency = Annotated[
    int,
    typer.Option(help="Most requests at once; fewer where the service bears fewer.", min=1),
]
Near = Annotated[
    str | None,
    typer.Option(
        help="Share answers between look-alikes: 0 to 11 differing bits of the dHash (scaled, re-encoded), "
        "or features[:COSINE] for crops, mirrors, other exposures and bursts too; cosine 0.5 to 1, else 0.9.",
        metavar="BITS|features[:COSINE]",
    ),
]
Column = Annotated[str | None, typer.Option(help="The column of a list that holds the path or URL.")]


def caption(
    sources: Sources_,
    output: Outputs_ = None,
    prompt: PromptText = None,
    preset: PresetNames = None,
    schema: SchemaFile = None,
    model: connection.Model = None,
    base_url: connection.BaseUrl = None,
    catalog: connection.Catalog = None,
    header: connection.Header = None,
    sticky: connection.Sticky = False,
    lang: connection.Lang = None,
    max_tokens: connection.MaxTokens = None,
    temperature: connection.Temperature = None,
    top_p: connection.TopP = None,
    thinking: connection.Thinking = None,
    reasoning_effort: connection.Effort = None,
    system: connection.System = None,
    extra: connection.Extra = None,
    max_side: connection.MaxSide = None,
    max_pixels: connection.MaxPixels = None,
    fetch: connection.Fetch = False,
    allow_private: connection.AllowPrivate = False,
    publish: connection.Publish = None,
    concurrency: Concurrency = 64,
    rpm: Annotated[float | None, typer.Option(help="Most requests a minute.")] = None,
    tpm: Annotated[float | None, typer.Option(help="Most tokens a minute.")] = None,
    budget: Annotated[str | None, typer.Option(help="Most money, such as '5 CNY'.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Most tokens in all.")] = None,
    budget_requests: Annotated[int | None, typer.Option(help="Most requests in all.")] = None,
    near_duplicates: Near = None,
    quality: Quality = None,
    judge: Annotated[
        str | None,
        typer.Option(help="A judge of answers that an installed package names, in the place of --quality."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again about failures that may pass.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Ask again about everything.")] = False,
    column: Column = None,
    journal: JournalPath = None,
    naming: Naming = None,
    existing: Existing_ = "keep",
    include_skipped: IncludeSkipped = False,
    prefix: Prefix = "",
    suffix: Suffix = "",
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Leave out of the outputs what is gone from the folders and globs given; sidecars stay.",
        ),
    ] = False,
    item_seconds: Annotated[float | None, typer.Option(help="Longest time for one item.")] = None,
    job_seconds: Annotated[float | None, typer.Option(help="Begin nothing new after this time.")] = None,
    outage_seconds: Annotated[
        float | None, typer.Option(help="How long to wait for a service out of reach; default an hour.")
    ] = None,
    via: Annotated[
        str, typer.Option(help="calls, or batch: the service's batch files, half the price within a day.")
    ] = "calls",
    shard: Annotated[
        str | None,
        typer.Option(
            help="With an output that ends in /: the part i of n (from 0) of the items, or auto: of a Slurm "
            "array or a Kubernetes indexed job.",
            metavar="I/N|auto",
        ),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(
            help="With an output that ends in /: redis://host, where processes share one limit and one "
            "budget; default $VISIONPIPE_GATE."
        ),
    ] = None,
    durability: Annotated[
        str,
        typer.Option(
            help="With an output that ends in /: item stores each result before the next is counted; 2s "
            "stores so often, and a kill loses what was not stored.",
            metavar="item|2s",
        ),
    ] = "item",
    state_dir: Annotated[
        Path | None,
        typer.Option(
            help="With an output that ends in /: a folder on a disk that outlasts the process; results are "
            "there before they are counted, and what a killed run left there is stored first.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Ask about so many at random, and say what all would cost.", min=2),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="For the same --sample again.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the last lines.")] = False,
    as_json: connection.AsJson = False,
) -> None:
    """Caption images by the folder. Run the same command again to go on where it ended."""
    from visionpipe.cli.outputs import STDOUT, Locator, Outputs, default_journal, own_files
    from visionpipe.cli.progress import reporter
    from visionpipe.cli.sample import drawn
    from visionpipe.pipeline.events import ItemEnded
    from visionpipe.pipeline.job import Job
    from visionpipe.pipeline.job_setup import BatchOptions
    from visionpipe.pipeline.outage import LONGEST_OUTAGE_S
    from visionpipe.pipeline.pipeline import Pipeline
    from visionpipe.sinks.opening import SinkOptions
    from visionpipe.sinks.ownership import chosen_existing
    from visionpipe.sources.find import SourceListing
    from visionpipe.stages.plain_text import form_of

    options = connection.call_options(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        thinking=thinking,
        reasoning_effort=reasoning_effort,
        system=system,
        extra=extra,
        max_side=max_side,
        max_pixels=max_pixels,
        fetch=fetch,
        allow_private=allow_private,
    )
    if publish is not None:
        options["publisher"] = connection.publisher_named(publish)
    specs = output or ["captions.jsonl"]
    if any(is_parts(spec) for spec in specs):
        if len(specs) > 1 or header or catalog:
            raise ParameterError(
                "a directory of parts is a job's only output, and its workers read headers and catalogs "
                "from their own settings",
                cure="Leave the others out, and export them later.",
                subject="--output",
            )
        refuse_without_meaning(
            {
                "journal": journal,
                "near_duplicates": near_duplicates,
                "judge": judge,
                "naming": naming,
                "prune": prune,
                "job_seconds": job_seconds,
                "rpm": rpm,
                "tpm": tpm,
                "publish": publish,
                "sample": sample,
                "via": via != "calls",
            }
        )
        asked = chosen_prompt(prompt, preset)
        found = SourceListing(
            sources[0] if len(sources) == 1 else sources, column=column, shard=shard_of(shard)
        )
        caption_parts(
            Job(
                asked,
                model=model,
                endpoint=base_url,
                sticky=sticky,
                options=options,
                schema=chosen_schema(schema, asked),
                quality=quality_policy(quality),
                lang=cast("Any", lang),
                item_seconds=item_seconds,
                outage_seconds=LONGEST_OUTAGE_S if outage_seconds is None else outage_seconds,
            ),
            found,
            specs[0],
            gate=gate,
            caps=caps(budget, budget_tokens, budget_requests),
            concurrency=concurrency,
            durability=durability,
            state=state_dir,
            retry_failed=retry_failed,
            force=force,
            quiet=quiet,
            as_json=as_json,
        )
        return
    if shard or gate or durability != "item" or state_dir:
        raise ParameterError(
            "only a directory of parts is written by several processes",
            cure="End the output in a slash, such as -o s3://bucket/out/.",
            subject="--shard, --gate, --durability, --state-dir",
        )
    if as_json and STDOUT in specs:
        raise ParameterError(
            "both would write to standard output", cure="Leave one out.", subject="--json, -o -"
        )
    journal = journal or default_journal(specs, sources)
    asked = chosen_prompt(prompt, preset)
    wanted = chosen_schema(schema, asked)
    policy = quality_policy(quality)
    locate = Locator(journal)
    shape = SinkOptions(
        locate=locate,
        answers=locate.answers,
        prompt=locate.prompt,
        naming=naming,
        existing=chosen_existing(existing),
        include_skipped=include_skipped,
        text=form_of(asked, prefix, suffix),
        schema=wanted,
    )
    outputs = Outputs(specs, journal, shape, prune=prune)
    job = ""
    with (
        closing(locate),
        connection.make_client(model, base_url, catalog, lang, header, sticky=sticky) as client,
        reporter(as_json=as_json, quiet=quiet, plain=STDOUT in specs) as show,
    ):
        costs: list[Money | None] = []

        def on_event(event: Event) -> None:
            if sample is not None and isinstance(event, ItemEnded) and event.result.reason is None:
                costs.append(event.result.cost)
            outputs.note(event, job)
            show(event)

        batch = in_batches(
            via,
            near_duplicates=near_duplicates,
            item_seconds=item_seconds,
            job_seconds=job_seconds,
            outage_seconds=outage_seconds,
            rpm=rpm,
            tpm=tpm,
        )
        pipeline = Pipeline(
            asked,
            client=client,
            options=options,
            schema=wanted,
            journal=journal,
            concurrency=concurrency,
            rpm=rpm,
            tpm=tpm,
            budget=caps(budget, budget_tokens, budget_requests),
            quality=policy,
            judge=judge,
            near_duplicates=near_duplicates,
            skip=outputs.skip,
            retry_failed=retry_failed,
            force=force,
            item_seconds=item_seconds,
            job_seconds=job_seconds,
            outage_seconds=LONGEST_OUTAGE_S if outage_seconds is None else outage_seconds,
            on_event=on_event,
            via="batch" if batch else "calls",
            batch=BatchOptions(on_step=step_teller(silent=quiet or as_json)) if batch else None,
        )
        items = listing(sources, column, own_files(specs, sources, journal, naming))
        pipeline.check(items)
        job = pipeline.job
        outputs.prove(sources, items)
        chosen, total = (items, 0) if sample is None else drawn(items, sample, seed)
        run = pipeline.run(chosen)
        show.follow(run.progress)
        error = _consume(run, outputs)
    if error is not None and run.summary is None:
        raise error
    if sample is not None and not as_json and run.summary is not None and run.summary.complete:
        typer.echo(_projection(costs, total), err=True)
    _account(run, outputs, specs, error, as_json=as_json)
    looked_at = run.summary is None or run.summary.seen > run.summary.skipped or run.summary.requests
    if run.summary is not None and not looked_at and not run.summary.kept and not outputs.kept:
        typer.echo(f"visionpipe: {nothing_found(sources, run.summary.skips)}", err=True)
        raise typer.Exit(1)


def _projection(costs: Sequence[Money | None], total: int) -> str:
    """What all would cost, in one line."""
    from visionpipe.cli.sample import projected

    currency = next((cost.currency for cost in costs if cost is not None), None)
    found = projected([float(cost.amount) if cost is not None else 0.0 for cost in costs], total)
    if currency is None or found is None:
        return f"what all {total} images would cost cannot be told: no price is known, or too few were asked"
    return (
        f"all {total} images would cost about {found.whole:.6g} {currency} "
        f"(95 % sure: {found.low:.6g} to {found.high:.6g})"
    )


def _consume(run: Run, outputs: Outputs) -> VisionPipeError | None:
    from visionpipe.cli.progress import draining

    problem: VisionPipeError | None = None
    with draining(run):
        try:
            for result in run:
                try:
                    outputs.write(result)
                except OutputError:
                    run.stop("output")
                    raise
        except VisionPipeError as error:
            problem = error
        try:
            outputs.finish()
        except OutputError as error:
            if problem is None:
                problem = error
            elif str(error) != str(problem):
                outputs.refused.append(error)
    return problem


def _account(
    run: Run, outputs: Outputs, specs: list[str], error: VisionPipeError | None, *, as_json: bool
) -> None:
    summary = run.summary
    if summary is None:
        raise typer.Exit(1)
    failed_output = error is not None and summary.error is None
    if failed_output and summary.stopped is not None:
        # The run itself was only left early because of it.
        summary = replace(summary, stopped="output")
    if not as_json:
        for line in summary.lines():
            typer.echo(line, err=True)
        for line in outputs.lines():
            typer.echo(line, err=True)
        for refused in outputs.refused:
            typer.echo(f"not written: {refused}", err=True)
    if error is not None and failed_output:
        raise error
    if not as_json:
        places = ("standard output" if spec == "-" else spec for spec in specs)
        typer.echo(f"written: {', '.join(places)}", err=True)
    if summary.stopped in ("stopped", "aborted"):
        raise typer.Exit(130)
    if not summary.ok or outputs.refused:
        raise typer.Exit(1)


def chosen_prompt(prompt: str | None, presets: Sequence[str] | None) -> Any:
    """The prompt's template where one is given, else the preset of that name, or several as one.

    Raises:
        ParameterError: no such preset, one twice, a malformed or blank template, or a prompt and a preset.
    """
    from visionpipe.client.settings import own_presets
    from visionpipe.prompts.presets import named, together
    from visionpipe.prompts.template import Template

    if prompt is None:
        own = own_presets()
        found = [named(name, own) for name in presets or ["caption"]]
        return together(*found)
    if not prompt.strip():
        raise ParameterError("it is blank", cure="Write a question, or leave it out.", subject="--prompt")
    if presets:
        raise ParameterError(
            "both are given, and a job has one prompt", cure="Leave one out.", subject="--prompt, --preset"
        )
    return Template(prompt)


def listing(sources: list[str], column: str | None, own: OwnFiles) -> SourceListing:
    """The sources as the pipeline takes them, without what the job writes itself; reads standard input where
    that is one."""
    from visionpipe.sources.find import PIPE, SourceListing

    piped = None
    if PIPE in sources:
        if getattr(sys, "stdin", None) is None:
            raise ParameterError(
                "there is no standard input to read the list from",
                cure="Pipe the paths in, or name a list file.",
                subject=PIPE,
            )
        piped = sys.stdin.buffer.read()
    return SourceListing(sources[0] if len(sources) == 1 else sources, column=column, own=own, piped=piped)


def caps(money: str | None, tokens: int | None, requests: int | None) -> Caps | None:
    """The caps that were given; None where there are none."""
    from visionpipe.pipeline.budget import Caps

    if money is None and tokens is None and requests is None:
        return None
    return Caps(requests=requests, tokens=tokens, money=_money(money) if money is not None else None)


def _money(text: str) -> Money:
    from visionpipe.values import Money

    amount, _, currency = text.strip().partition(" ")
    try:
        return Money(Decimal(amount), currency.strip().upper() or "CNY")
    except InvalidOperation as cause:
        raise ParameterError(
            f"{text!r} is no amount of money", cure="Write it like '5 CNY'.", subject="--budget"
        ) from cause
