"""Where a run's results go: sinks that grow with the run, and sinks written whole at its end.

The journal knows from where each source was read. A name alone does not tell, since names begin
below the folder, glob or list that was given.

The rules: the journal is the truth. A growing output begins as a copy of what the journal holds, so that a
run taken up again never leaves it with less than before; at the end each output equals the journal. Nothing
is touched before the run holds the journal, and no source is ever an output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from visionpipe.errors import OutputError, ParameterError
from visionpipe.files import GrowingFile, prove_folder, whole_file
from visionpipe.pipeline.events import Event, ItemEnded, RunStarted
from visionpipe.pipeline.listing import journal_files
from visionpipe.pipeline.reading import JournalView, recorded_results
from visionpipe.results import ItemResult
from visionpipe.sinks.opening import SIDECARS, SUFFIXES, SinkOptions, open_sink, sink_kind, written_files
from visionpipe.sinks.sink import Sink, dump, export
from visionpipe.sources.find import PIPE, is_link
from visionpipe.sources.lists import LIST_SUFFIXES
from visionpipe.sources.own_files import OwnFiles
from visionpipe.sources.walking import Pattern
from visionpipe.store.lock import check_free


class Locator:
    """From a result's source to its file, None for links; a ``Locate``.

    Args:
        journal: the job's, looked into from the first question on.
        images: the folder that the images are in now; None: where the journal found them.
    """

    def __init__(self, journal: Path, images: Path | None = None) -> None:
        self._journal = journal
        self._images = images
        self._view: JournalView | None = None

    def __call__(self, source: str) -> Path | None:
        if "://" in source:
            return None
        if self._images is not None:
            return self._images / source
        if self._view is None:
            self._view = JournalView.open(self._journal)
        return Path(self._view.location(source) or source)

    def close(self) -> None:
        """Gives the journal back; a further question opens it again."""
        if self._view is not None:
            self._view.close()
            self._view = None


_REBUILT_AT_START = ("jsonl",)
_JOURNAL = ".journal"
STDOUT = "-"
"""The output that is standard output: a JSON line for each result, as it comes."""


class Outputs:
    """The outputs of one run.

    Args:
        specs: what stood after ``-o``.
        journal: the run's journal.
        options: what sinks need to know.
    """

    def __init__(self, specs: Sequence[str], journal: Path, options: SinkOptions) -> None:
        self._given = specs
        self._specs = _places(specs)
        self._journal = journal
        self._options = options
        self._job = ""
        self._growing: list[Sink] = []
        self._rebuilt: list[Sink] = []
        self._whole: list[str] = []
        self._lines = 0
        self._kept = False
        self._begun = False
        self.refused: list[OutputError] = []

    def prove(self, sources: Sequence[str]) -> None:
        """Make sure that every output can be opened; what stands there already stays as it is.

        Args:
            sources: what the run reads; none of them may be an output.

        Raises:
            ParameterError, OutputError, ConfigurationError: before anything is asked.
            JournalError: another run is writing these outputs.
        """
        self._refuse_twice(sources)
        places = [sink_kind(spec) for spec in self._specs]
        for spec, (_, place) in zip(self._specs, places, strict=True):
            if any(_is_same_file(place, source) for source in sources):
                raise ParameterError(
                    "this output is one of the sources and would take its place",
                    cure="Choose another name for the output.",
                    subject=spec,
                )
        check_free(self._journal)
        for spec, (kind, place) in zip(self._specs, places, strict=True):
            there = Path(place).exists()
            if kind in _REBUILT_AT_START:
                GrowingFile(Path(place), keep=True).close()
            else:
                if kind in SIDECARS:
                    for folder in [Path(place)] if place else _image_folders(sources):
                        prove_folder(folder)
                open_sink(spec, self._options).abort()
            if not there and Path(place).is_file():
                # The run may be refused yet, and then there is no output; a link stays, for what it leads to.
                Path(place).resolve().unlink()

    def _refuse_twice(self, sources: Sequence[str]) -> None:
        """One place for two outputs: they would take each other's."""
        beside = [str(folder) for folder in _image_folders(sources)] if len(sources) == 1 else []
        met: dict[tuple[str, str], str] = {}
        for spec in self._given:
            kind, place = (STDOUT, STDOUT) if spec == STDOUT else sink_kind(spec)
            if kind in SIDECARS and not place:
                place = beside[0] if beside else ""
            real = os.path.realpath(place) if place and kind != STDOUT else place
            key = (kind if kind in SIDECARS else "", real)
            other = met.get(key)
            met[key] = spec
            if other is not None:
                raise ParameterError(
                    "this output is given twice" if other == spec else f"this is the same place as {other}",
                    cure="Leave one of them out.",
                    subject=spec,
                )

    def note(self, event: Event, job: str) -> None:
        """Hear what the run tells: its outputs begin when it has the journal to itself.

        Args:
            event: told by the run, before the result that it is about is handed out.
            job: the recipe's key in the journal.

        Raises:
            OutputError: an output cannot be opened any more.
        """
        if isinstance(event, RunStarted):
            self._job = job
            self._begin()
        elif isinstance(event, ItemEnded):
            self._kept = event.kept

    def _begin(self) -> None:
        self._begun = True
        for spec in self._specs:
            kind, place = sink_kind(spec)
            if kind in _REBUILT_AT_START:
                self._lines = self._rebuild(place)
                self._rebuilt.append(open_sink(spec, self._options))
                continue
            sink = open_sink(spec, self._options)
            if sink.keeps_previous:
                self._growing.append(sink)
            else:
                sink.abort()
                self._whole.append(spec)

    def write(self, result: ItemResult) -> None:
        """Take one result that the run hands out.

        Raises:
            OutputError: with scope "job", where nothing more can be written.
        """
        if STDOUT in self._given:
            sys.stdout.buffer.write(dump(result.to_json()) + b"\n")
            sys.stdout.buffer.flush()
        if result.failure is not None:
            with closing(JournalView.open(self._journal)) as view:
                result = view.standing(result, self._job)
        sinks = self._growing
        if not self._kept:
            # A result kept from an earlier run stands in the rebuilt outputs already.
            self._lines += 1
            sinks = [*self._rebuilt, *self._growing]
        for sink in sinks:
            try:
                sink.write(result)
            except OutputError as error:
                if error.scope == "job":
                    raise
                self.refused.append(error)

    def finish(self) -> None:
        """Complete every output from the journal.

        Raises:
            OutputError: there is no room; the journal has everything, and `export` writes it later.
        """
        if not self._begun:
            return
        for sink in (*self._rebuilt, *self._growing):
            sink.close()
        replaced = self._lines != sum(1 for _ in self._recorded())
        for spec in self._specs:
            kind, place = sink_kind(spec)
            if kind in _REBUILT_AT_START and replaced:
                self._lines = self._rebuild(place)
        for spec in self._whole:
            _, refused = export(self._recorded(), open_sink(spec, self._options))
            self.refused += refused

    def _rebuild(self, place: str) -> int:
        """Write what the journal holds to a new file that takes the old one's place; how many lines."""
        from visionpipe.sinks.jsonl import JsonlSink

        # Where the output is a link, the file it points to is rebuilt, and the link stays.
        target = Path(place).resolve()
        if not self._journal.exists():
            target.unlink(missing_ok=True)
            return 0
        with whole_file(target) as draft:
            written, _ = export(self._recorded(), JsonlSink(draft, start_over=True))
        return written

    def _recorded(self) -> Iterator[ItemResult]:
        return recorded_results(self._journal, job=self._job)


def own_files(
    specs: Sequence[str], sources: Sequence[str], journal: Path | None, naming: str | None
) -> OwnFiles:
    """What a job writes, its outputs and its journal, which is none of its items.

    Args:
        specs: what stood after ``-o``.
        sources: what the job reads.
        journal: the job's; one that is named after an output tells that output too.
        naming: the sidecars' file name.
    """
    own = written_files(_places(specs), sources, SinkOptions(naming=naming))
    if journal is None:
        return own
    named_after = journal.with_suffix("") if journal.suffix == _JOURNAL else None
    if named_after is not None and named_after.suffix.lower() in SUFFIXES:
        own |= written_files([str(named_after)], sources, SinkOptions())
    return own | journal_files(journal)


def _places(specs: Sequence[str]) -> list[str]:
    return [spec for spec in specs if spec != STDOUT]


def _image_folders(sources: Sequence[str]) -> list[Path]:
    """The folders that are told by the sources themselves; lists and links tell none."""
    folders = []
    for source in sources:
        path, pattern = Path(source), Pattern.parse(source)
        if is_link(source) or source == PIPE:
            continue
        if path.is_dir():
            folders.append(path)
        elif not path.exists():
            folders += [Path(pattern.folder)] if pattern is not None else []
        elif path.suffix.lower() not in LIST_SUFFIXES:
            folders.append(path.parent)
    return folders


def _is_same_file(place: str, source: str) -> bool:
    try:
        return bool(place) and Path(source).is_file() and Path(place).samefile(source)
    except (OSError, ValueError):
        return False  # the output is not there yet


def default_journal(specs: Sequence[str], sources: Sequence[str]) -> Path:
    """Beside the first output that is a file, else hidden in the first source's folder."""
    for spec in _places(specs):
        kind, place = sink_kind(spec)
        if kind not in SIDECARS:
            return Path(f"{place}{_JOURNAL}")
    first = Path(sources[0])
    return (first if first.is_dir() else Path()) / ".visionpipe.journal"
