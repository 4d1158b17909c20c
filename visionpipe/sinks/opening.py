"""Chooses a sink by what the user wrote after ``-o``, and knows which files it is made of.

A file's suffix says its kind; ``KIND:PLACE`` says it outright, and is the way to sidecars, whose
place may be empty (beside the images).

    out.jsonl  out.csv  out.parquet  out.sqlite  out.html  shards/out.tar
    txt:  json:  xmp:  txt:captions/  html:report.htm  kohya:meta.json  imagefolder:photos/metadata.jsonl

Named before anything is opened, and all of them: the outputs themselves, their drafts, and what a
killed run may have left beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from visionpipe.errors import ParameterError, VisionPipeError
from visionpipe.files import partial_path, prove_folder
from visionpipe.plugins import SINKS, broken_plugin, has_plugin, load_plugin, plugin_names
from visionpipe.sinks.csv import CsvSink, FailuresSink
from visionpipe.sinks.fields import fields_of
from visionpipe.sinks.html import HtmlSink
from visionpipe.sinks.jsonl import JsonlSink
from visionpipe.sinks.ownership import (
    Existing,
    MemoryRecord,
    OwnedSink,
    WrittenRecord,
    foreign_files,
    refuse_foreign,
)
from visionpipe.sinks.parquet import ParquetSink
from visionpipe.sinks.sidecar import JsonSidecarSink, TextSidecarSink, file_name
from visionpipe.sinks.sink import Locate, Sink
from visionpipe.sinks.sqlite import SqliteSink, prove_database
from visionpipe.sinks.training import ImageFolderSink, KohyaSink, PairsSink
from visionpipe.sinks.webdataset import WebDatasetSink
from visionpipe.sinks.xmp import XmpSidecarSink
from visionpipe.sources.own_files import OwnFiles, OwnSidecars
from visionpipe.stages.plain_text import PLAIN, TextForm


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What some sinks need to know; the others leave it alone.

    Attributes:
        locate: from a result's source to its file; None: the source is a path.
        root: the folder that sidecars in a folder of their own leave out of their paths.
        naming: the sidecars' file name, with ``{stem}`` or ``{name}``; None: the kind's own rule.
        existing: what to do where somebody else's file is in the way, see
            ``visionpipe.sinks.ownership``.
        record: of what was written, which tells what is ours; None: nothing is remembered.
        include_skipped: tables, archives and pages hold skipped items too.
        start_over: JSONL only: a new file takes the old one's place at ``close``.
        text: how answers become the text of sidecars, shards and trainers' metadata.
        spreadsheet: CSV only: no text can be taken for a formula; False: the exact text, for programs.
        title: HTML only: the page's heading.
        schema: CSV, Parquet and SQLite only: of the results' structured data, a JSON Schema or a pydantic
            model; each of its fields gets a column.
        answers: pairs only: from a source to the texts of every answer that it ever got.
        prompt: pairs only: gives what was asked.
    """

    locate: Locate | None = None
    root: Path | None = None
    naming: str | None = None
    existing: Existing = "keep"
    record: WrittenRecord | None = None
    include_skipped: bool = False
    start_over: bool = False
    text: TextForm = PLAIN
    spreadsheet: bool = True
    title: str = "Captions"
    schema: Any = None
    answers: Callable[[str], Iterable[str]] = lambda source: ()
    prompt: Callable[[], str] = str


def sidecar_pattern(kind: str, options: SinkOptions) -> str:
    """The naming rule of a kind of sidecar."""
    return options.naming or f"{{stem}}.{kind}"


def _beside(place: str, options: SinkOptions) -> dict[str, Any]:
    """What every kind of sidecar is told."""
    return {
        "folder": place or None,
        "pattern": options.naming,
        "root": options.root,
        "locate": options.locate,
        "record": options.record,
        "existing": options.existing,
    }


KINDS: dict[str, Callable[[str, SinkOptions], Sink]] = {
    "jsonl": lambda place, options: JsonlSink(place, start_over=options.start_over),
    "csv": lambda place, options: CsvSink(place, spreadsheet=options.spreadsheet, schema=options.schema),
    "failures": lambda place, options: FailuresSink(place, spreadsheet=options.spreadsheet),
    "parquet": lambda place, options: ParquetSink(place, schema=options.schema),
    "sqlite": lambda place, options: SqliteSink(place, schema=options.schema),
    "html": lambda place, options: HtmlSink(
        place, locate=options.locate, title=options.title, form=options.text
    ),
    "webdataset": lambda place, options: WebDatasetSink(place, locate=options.locate, form=options.text),
    "kohya": lambda place, options: KohyaSink(place, locate=options.locate, form=options.text),
    "imagefolder": lambda place, options: ImageFolderSink(place, locate=options.locate, form=options.text),
    "pairs": lambda place, options: PairsSink(
        place, answers=options.answers, prompt=options.prompt, locate=options.locate
    ),
    "txt": lambda place, options: TextSidecarSink(form=options.text, **_beside(place, options)),
    "json": lambda place, options: JsonSidecarSink(**_beside(place, options)),
    "xmp": lambda place, options: XmpSidecarSink(
        tags=any(field.path == ("tags",) for field in fields_of(options.schema)), **_beside(place, options)
    ),
}


def _made(kind: str, place: str, options: SinkOptions) -> Sink:
    if kind in KINDS:
        return KINDS[kind](place, options)
    make = load_plugin(SINKS, kind)
    try:
        sink: Sink = make(Path(place))
    except VisionPipeError:
        raise
    except Exception as error:
        raise broken_plugin(SINKS, kind, f"cannot be opened ({type(error).__name__}: {error})") from error
    lacking = [name for name in _METHODS if not hasattr(sink, name)]
    if lacking:
        raise broken_plugin(SINKS, kind, f"is no output: it has no {lacking[0]}")
    return sink


_METHODS = ("write", "flush", "close", "abort", "keeps_previous")


FAILURES = "failures.csv"
"""The file's name that stands for a list of the failures alone."""

SIDECARS = ("txt", "json", "xmp")
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db": "sqlite",
    ".html": "html",
    ".htm": "html",
    ".tar": "webdataset",
}


def sink_kind(spec: str | Path) -> tuple[str, str]:
    """The kind of sink and its place.

    Raises:
        ParameterError: neither suffix nor prefix tells the kind, or the place is no local one.
    """
    text = str(spec)
    kind, colon, place = text.partition(":")
    if colon and (has_plugin(SINKS, kind, KINDS) or kind in KINDS):
        if not place and kind not in SIDECARS:
            raise ParameterError("no file is named", cure=f"Such as {kind}:out.{kind}.", subject=text)
        _refuse_address(place)
        return kind, place
    _refuse_address(text)
    if Path(text).name == FAILURES:
        return "failures", text
    suffix = Path(text).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix], text
    raise ParameterError(
        "the output's kind cannot be told",
        cure=f"Use one of the suffixes {', '.join(SUFFIXES)}, or KIND: before it, where KIND is one of "
        f"{', '.join([*KINDS, *plugin_names(SINKS)])}.",
        subject=text or "output",
    )


def open_sink(spec: str | Path, options: SinkOptions | None = None) -> Sink:
    """The sink for an output.

    Args:
        spec: a file name whose suffix tells the kind, or ``KIND:PLACE``.
        options: what the kinds that deal with images need.

    Raises:
        ParameterError: the kind cannot be told, or the options' schema is none.
        OutputError: it cannot be opened, or is somebody else's.
        ConfigurationError: it needs an extra that is not installed.
    """
    kind, place = sink_kind(spec)
    options = options or SinkOptions()
    if kind in SIDECARS:
        return _made(kind, place, options)
    return OwnedSink(
        kind,
        Path(place),
        lambda: _made(kind, place, options),
        kind == "sqlite" or (kind == "jsonl" and not options.start_over),
        MemoryRecord() if options.record is None else options.record,
        options.existing,
        options.include_skipped,
    )


def prove_output(spec: str | Path, options: SinkOptions) -> None:
    """Make sure that a table, archive or page can be written and is ours, and leave everything as it is.

    Args:
        spec, options: as for ``open_sink``.

    Raises:
        ParameterError, OutputError, ConfigurationError: as there.
    """
    kind, place = sink_kind(spec)
    path = Path(place)
    record = MemoryRecord() if options.record is None else options.record
    foreign = foreign_files(kind, path, record)
    if foreign and options.existing != "overwrite":
        refuse_foreign(kind, path, record)
    there = path.exists()
    if kind == "sqlite" and foreign:
        prove_folder(path.parent)
    elif kind == "sqlite" and there:
        prove_database(path, schema=options.schema)
    elif kind == "jsonl":
        open_sink(spec, replace(options, start_over=True)).abort()
    else:
        open_sink(spec, options).abort()
        if not there and path.is_file():
            # The job may be refused yet, and then there is no output; a link stays, for what it leads to.
            path.resolve().unlink()


def written_files(specs: Iterable[str], sources: Iterable[str], options: SinkOptions) -> OwnFiles:
    """What the outputs of a job write.

    Args:
        specs: the outputs, as for ``open_sink``.
        sources: what the job reads; sidecars in a folder of their own belong to the images in these.
        options: as for the sinks.

    Raises:
        ParameterError: an output's kind cannot be told.
    """
    roots = tuple(sources)
    own = OwnFiles()
    for spec in specs:
        kind, place = sink_kind(spec)
        path = Path(place)
        if kind in SIDECARS:
            names = partial(_sidecar_names, sidecar_pattern(kind, options))
            own |= OwnFiles(sidecars=[OwnSidecars(names, place or None, roots)])
        elif kind == "webdataset":
            shard = re.compile(rf"\.?{re.escape(path.stem)}-\d{{6,}}\.tar(\.part)?")
            own |= OwnFiles(numbered=[(path.parent, shard)])
        else:
            own |= OwnFiles(file for one in {path, path.resolve()} for file in _with_drafts(kind, one))
    return own


def _with_drafts(kind: str, path: Path) -> Iterator[Path]:
    yield from (path, partial_path(path))
    if kind == "sqlite":
        yield from (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))


def _sidecar_names(pattern: str, image: str) -> tuple[str, str]:
    name = file_name(pattern, PurePosixPath(image))
    return name, partial_path(Path(name)).name


def _refuse_address(place: str) -> None:
    """Refuses an address (``s3://bucket/out.csv``), which would else be taken for a local path."""
    found = re.match(r"[a-z][a-z0-9+.-]*://", place, re.IGNORECASE)
    if found is not None:
        raise ParameterError(
            f"no such file is written to {found.group().lower()} addresses",
            cure="Give a local path, and copy it then; or write a directory of parts there, which ends in a "
            "slash.",
            subject=place,
            code="unsupported_address",
            scope="job",
        )
