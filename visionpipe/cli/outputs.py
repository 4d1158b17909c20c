"""Where a run's results go: sinks that grow with the run, and sinks written whole at its end.

The journal knows from where each source was read. A name alone does not tell, since names begin
below the folder, glob or list that was given.

The journal is the truth. A growing output begins as a copy of what the journal holds, so that a
run taken up again never leaves it with less than before; at the end each output equals the journal, but that
a failure never takes the place of a good answer that was there. Nothing is touched before the run holds the
journal, nothing of somebody else's is touched unasked, and no source is ever an output.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from visionpipe.client.settings import own_presets
from visionpipe.errors import OutputError, ParameterError
from visionpipe.files import prove_folder
from visionpipe.pipeline.events import Event, ItemEnded, RunEnded, RunStarted
from visionpipe.pipeline.listing import journal_files
from visionpipe.pipeline.reading import JournalView, recorded_output
from visionpipe.pipeline.written import WrittenFiles, WrittenRow
from visionpipe.prompts.presets import preset_recorded
from visionpipe.results import ItemResult, Outcome
from visionpipe.sinks.opening import (
    SIDECARS,
    SUFFIXES,
    SinkOptions,
    open_sink,
    prove_output,
    sink_kind,
    written_files,
)
from visionpipe.sinks.ownership import (
    COLLISION,
    JOINED,
    OwnedSink,
    Written,
    chosen_existing,
    first_file,
    place_of,
)
from visionpipe.sinks.sidecar import SidecarNaming, SidecarSink, TextSidecarSink
from visionpipe.sinks.sink import Sink, dump, export
from visionpipe.sinks.training import ImageFolderSink, KohyaSink
from visionpipe.sinks.webdataset import WebDatasetSink
from visionpipe.sources.find import PIPE, Found, Source, is_link
from visionpipe.sources.lists import LIST_SUFFIXES
from visionpipe.sources.own_files import OwnFiles
from visionpipe.sources.walking import Pattern
from visionpipe.stages.plain_text import form_of
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
        return Path(self._opened().location(source) or source)

    def answers(self, source: str) -> Iterator[str]:
        """The texts of every answer of the job's kind that ``source`` ever got."""
        view = self._opened()
        structured = view.schema() is not None
        for answer in view.answers(source):
            if answer.caption is not None and (answer.data is not None) == structured:
                yield answer.caption

    def prompt(self) -> str:
        """What the job asked."""
        view = self._opened()
        return view.template(view.last_job()) or ""

    def _opened(self) -> JournalView:
        if self._view is None:
            self._view = JournalView.open(self._journal)
        return self._view

    def close(self) -> None:
        """Gives the journal back; a further question opens it again."""
        if self._view is not None:
            self._view.close()
            self._view = None


_JOURNAL = ".journal"
STDOUT = "-"
"""The output that is standard output: a JSON line for each result, as it comes."""
SIDECAR_KEPT = "its sidecar is somebody else's"
"""Why an item is not asked about where its sidecar is all that would come of it."""
_NAMED = 5


class JournalRecord:
    """What a journal's jobs wrote, as sinks ask for it.

    Args:
        journal: the job's.
    """

    def __init__(self, journal: Path) -> None:
        self.job = ""
        self._files = WrittenFiles(journal)

    def find(self, place: Path) -> Written | None:
        row = self._files.find(place)
        if row is None:
            return None
        around = row.around and (chosen_existing(row.around[0]), row.around[1])
        return Written(row.mark, around)

    def remember(self, place: Path, written: Written) -> None:
        row = self._files.find(place)
        jobs = dict.fromkeys((*(row.jobs if row is not None else ()), self.job))
        self._files.remember(place, WrittenRow(written.mark, written.around, tuple(filter(None, jobs))))

    def earlier(self, source: str) -> Iterator[ItemResult]:
        return self._files.earlier(source)

    def jobs(self, kind: str, place: Path) -> tuple[str, ...] | None:
        """The jobs whose results an output holds; None where it was written by a release that noted none."""
        file = place_of(first_file(kind, place))
        row = self._files.find(file)
        if row is not None:
            return row.jobs
        return None if file.exists() else ()

    def close(self) -> None:
        self._files.close()


@dataclass(frozen=True, slots=True)
class _Output:
    """One output that is a file or stands beside the images."""

    spec: str
    kind: str
    place: str


class Outputs:
    """The outputs of one run.

    Args:
        specs: what stood after ``-o``.
        journal: the run's journal.
        options: what sinks need to know.
        prune: leave out photos that are gone from below a folder, or a glob's, of this run.

    Attributes:
        refused: errors of single items.
    """

    def __init__(
        self, specs: Sequence[str], journal: Path, options: SinkOptions, *, prune: bool = False
    ) -> None:
        self._given = specs
        self._outputs = [_Output(spec, *sink_kind(spec)) for spec in _places(specs)]
        self._journal = journal
        self._record = JournalRecord(journal)
        self._options = replace(options, record=self._record)
        if options.existing in JOINED and not any(output.kind == "txt" for output in self._outputs):
            raise ParameterError(
                "only text sidecars can be joined with the text that is there",
                cure="Use keep or overwrite, or add -o txt:.",
                subject=f"--existing {options.existing}",
            )
        self._beside = [self._opened_sidecar(o) for o in self._outputs if o.kind in SIDECARS]
        self._prune = prune
        self._places: list[Path | Pattern] = []
        self._gone: frozenset[str] = frozenset()
        self._earlier: dict[str, tuple[str, ...] | None] = {}
        self._growing: list[Sink] = []
        self._rebuilt: dict[str, Sink] = {}
        self._lines: dict[str, int] = {}
        self._written = 0
        self._texts: Counter[str] = Counter()
        self._not_asked = 0
        self._lock = threading.Lock()
        self._kept = False
        self._begun = False
        self._complete = False
        self.refused: list[OutputError] = []

    def prove(self, sources: Sequence[str], found: Iterable[Found] = ()) -> None:
        """Make sure that every output can be written and is ours; what stands there already stays as it is.

        Args:
            sources: what the run reads; none of them may be an output.
            found: the run's listing, by which sidecars that would share a name are told.

        Raises:
            ParameterError, OutputError, ConfigurationError: before anything is asked.
            JournalError: another run is writing these outputs.
        """
        self._refuse_twice(sources)
        for output in self._outputs:
            if any(_is_same_file(output.place, source) for source in sources):
                raise ParameterError(
                    "this output is one of the sources and would take its place",
                    cure="Choose another name for the output.",
                    subject=output.spec,
                )
        check_free(self._journal)
        self._places = list(_listed_places(sources))
        if self._prune and not self._places:
            raise ParameterError(
                "what is gone shows only in folders and globs, and none is given",
                cure="Leave it out, or name the photos' folder.",
                subject="--prune",
            )
        for output in self._outputs:
            if output.kind in SIDECARS:
                for folder in [Path(output.place)] if output.place else _image_folders(sources):
                    prove_folder(folder)
            else:
                prove_output(output.spec, self._options)
                self._earlier[output.spec] = self._record.jobs(output.kind, Path(output.place))
        for sidecars in self._beside:
            _refuse_collisions(sidecars.naming, found)

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

    def skip(self, source: Source) -> str | None:
        """Why an item need not be asked about: all that would be written are sidecars, and those that are
        there are somebody else's and are kept."""
        if len(self._beside) != len(self._given):
            return None
        file = None if is_link(source.location) else Path(source.location)
        if not all(sidecars.keeps(source.name, file) for sidecars in self._beside):
            return None
        with self._lock:
            self._not_asked += 1
        return SIDECAR_KEPT

    def note(self, event: Event, job: str) -> None:
        """Hear what the run tells: its outputs begin when it has the journal to itself.

        Args:
            event: told by the run, before the result that it is about is handed out.
            job: the recipe's key in the journal.

        Raises:
            OutputError: an output cannot be opened any more.
        """
        if isinstance(event, RunStarted):
            self._record.job = job
            self._begin()
        elif isinstance(event, ItemEnded):
            self._kept = event.kept
        elif isinstance(event, RunEnded):
            self._complete = event.summary.complete

    def _begin(self) -> None:
        self._begun = True
        self._growing += self._beside
        for output in self._outputs:
            if output.kind == "jsonl":
                self._rebuild(output)
                self._rebuilt[output.spec] = open_sink(output.spec, self._options)
            elif output.kind == "sqlite":
                self._growing.append(open_sink(output.spec, self._options))

    def write(self, result: ItemResult) -> None:
        """Take one result that the run hands out.

        Raises:
            OutputError: with scope "job", where nothing more can be written.
        """
        if STDOUT in self._given and self._holds(result):
            sys.stdout.buffer.write(dump(result.to_json()) + b"\n")
            sys.stdout.buffer.flush()
        if result.failure is not None:
            result = self._standing(result)
        sinks = self._growing
        if not self._kept:
            # A result kept from an earlier run stands in the rebuilt outputs already.
            self._written += self._holds(result)
            sinks = [*self._rebuilt.values(), *self._growing]
        for sink in sinks:
            try:
                sink.write(result)
            except OutputError as error:
                if error.scope == "job":
                    raise
                self.refused.append(error)

    def _standing(self, result: ItemResult) -> ItemResult:
        with closing(JournalView.open(self._journal)) as view:
            return view.shown(result, self._record.job)

    def finish(self) -> None:
        """Complete every output from the journal.

        Raises:
            OutputError: there is no room; the journal has everything, and `export` writes it later.
        """
        try:
            if self._begun:
                self._finish()
        finally:
            self._record.close()

    def _finish(self) -> None:
        self._gone = self._gone_photos()
        if self._prune and self._gone:
            for sink in self._growing:
                if isinstance(sink, OwnedSink):
                    sink.remove(self._gone)
        for sink in (*self._rebuilt.values(), *self._growing):
            sink.close()
        for output in self._outputs:
            if output.kind == "jsonl":
                if self._lines[output.spec] + self._written != sum(1 for _ in self._recorded(output)):
                    self._rebuild(output)
            elif output.kind not in (*SIDECARS, "sqlite"):
                sink = open_sink(output.spec, self._options)
                _, refused = export(self._recorded(output), sink)
                self.refused += refused
                self._texts |= tidied_by(sink)

    def _rebuild(self, output: _Output) -> None:
        """Write what the journal holds to a new file that takes the old one's place."""
        # A link stays, and the file it leads to is written anew.
        sink = open_sink(output.spec, replace(self._options, start_over=True))
        self._lines[output.spec], _ = export(self._recorded(output), sink)

    def _recorded(self, output: _Output) -> Iterator[ItemResult]:
        results = recorded_output(
            self._journal,
            job=self._record.job,
            earlier=self._earlier[output.spec],
            complete=self._complete,
        )
        left_out = self._gone if self._prune else frozenset[str]()
        return (one for one in results if self._holds(one) and one.source not in left_out)

    def _holds(self, result: ItemResult) -> bool:
        return self._options.include_skipped or result.outcome is not Outcome.SKIPPED

    def _gone_photos(self) -> frozenset[str]:
        """The items of the journal whose photos are gone from where this run has looked."""
        view = JournalView.open(self._journal)
        try:
            return frozenset(
                source for source, location in view.locations() if _is_gone(Path(location), self._places)
            )
        finally:
            view.close()

    @property
    def kept(self) -> int:
        """How many sidecars of somebody else were left as they are."""
        return self._not_asked + sum(sidecars.kept for sidecars in self._beside)

    def lines(self) -> list[str]:
        """What is to be told of the outputs, besides errors."""
        told = []
        if self.kept:
            told.append(kept_line(self.kept))
        if self.tidied:
            told.append(tidied_line(self.tidied))
        if self._gone:
            photos = "1 photo is" if len(self._gone) == 1 else f"{len(self._gone)} photos are"
            end = "and left the outputs" if self._prune else "(--prune takes them out of the outputs)"
            told.append(f"gone: {photos} no longer where they were found {end}")
        return told

    @property
    def tidied(self) -> Counter[str]:
        """What was taken off answers for their texts, by kind; an answer counts once, however many outputs
        have it."""
        most = self._texts
        for sidecars in self._beside:
            most = most | tidied_by(sidecars)
        return most

    def _opened_sidecar(self, output: _Output) -> SidecarSink:
        sink = open_sink(output.spec, self._options)
        assert isinstance(sink, SidecarSink)
        return sink


def kept_line(count: int) -> str:
    """How many sidecars of somebody else were left as they are, in words."""
    sidecars = "1 sidecar" if count == 1 else f"{count} sidecars"
    return (
        f"kept: {sidecars} that somebody else wrote or edited "
        "(--existing overwrite replaces them and leaves backups)"
    )


def tidied_by(sink: Sink) -> Counter[str]:
    """What a sink took off answers for their texts, by kind."""
    inner = sink.inner if isinstance(sink, OwnedSink) else sink
    if isinstance(inner, TextSidecarSink | KohyaSink | ImageFolderSink | WebDatasetSink):
        return inner.tidied
    return Counter()


def tidied_line(counts: Counter[str]) -> str:
    """What was taken off answers for their texts, in words."""
    named = ", ".join(f"{kind.replace('_', ' ')}: {count}" for kind, count in sorted(counts.items()))
    return f"tidied in texts: {named}"


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of one output: how many items were written, how many sidecars of somebody else were kept,
    what was taken off answers for their texts, the errors of single items, and how many results in the
    journal could not be read."""

    spec: str
    written: int
    kept: int
    tidied: Counter[str]
    refused: tuple[OutputError, ...]
    unreadable: int = 0


def export_outputs(journal: Path, specs: Sequence[str], options: SinkOptions) -> Iterator[Exported]:
    """Write outputs from a journal, each as it is asked for; all are proven to be ours before the first.

    Args:
        journal: of the job.
        specs: what stood after ``-o``.
        options: what sinks need to know.

    Raises:
        OutputError: one is somebody else's, or cannot be written.
        JournalError: there is no such journal, or it cannot be read.
    """
    record = JournalRecord(journal)
    options = replace(options, record=record)
    try:
        view = JournalView.open(journal)
        record.job = view.last_job()
        template, schema = view.template(record.job) or "", view.schema(record.job)
        asked = preset_recorded(template, schema, own_presets())
        view.close()
        text = form_of(asked, options.text.prefix, options.text.suffix)
        options = replace(options, text=text)
        outputs = [_Output(spec, *sink_kind(spec)) for spec in specs]
        for output in outputs:
            if output.kind not in SIDECARS:
                prove_output(output.spec, options)
        for output in outputs:
            earlier: tuple[str, ...] | None = ()
            if output.kind not in SIDECARS:
                earlier = record.jobs(output.kind, Path(output.place))
            unreadable: list[int] = []
            results = recorded_output(journal, earlier=earlier, on_unreadable=unreadable.append)
            wanted = (one for one in results if options.include_skipped or one.outcome is not Outcome.SKIPPED)
            sink = open_sink(output.spec, options)
            written, refused = export(wanted, sink)
            kept = sink.kept if isinstance(sink, SidecarSink) else 0
            yield Exported(output.spec, written, kept, tidied_by(sink), refused, sum(unreadable))
    finally:
        record.close()


def _refuse_collisions(naming: SidecarNaming, found: Iterable[Found]) -> None:
    """Tell images whose sidecars would be one file.

    Raises:
        OutputError: (``code`` "collision") there are such.
    """

    def targets() -> Iterator[tuple[int, Source]]:
        for one in found:
            if isinstance(one, Source):
                try:
                    place = naming.target(one.name, None if is_link(one.location) else Path(one.location))
                except OutputError:
                    continue  # told when it is written
                yield hash(place), one

    owners: dict[int, int] = {}
    shared = {
        target for target, one in targets() if (owner := hash(one.name)) != owners.setdefault(target, owner)
    }
    if not shared:
        return
    groups: dict[int, dict[str, None]] = {}
    for target, one in targets():
        if target in shared:
            groups.setdefault(target, {})[one.name] = None
    named = "; ".join(" and ".join(names) for names in list(groups.values())[:_NAMED])
    more = " and more" if len(groups) > _NAMED else ""
    raise OutputError(
        f"sidecars of different images would have one name: {named}{more}",
        cure=f"Keep the image's suffix in it: --naming '{{name}}{PurePath(naming.pattern).suffix}'.",
        code=COLLISION,
    )


def _listed_places(sources: Sequence[str]) -> Iterator[Path | Pattern]:
    """The sources whose every photo is found by looking: folders and globs."""
    for source in sources:
        pattern = None if is_link(source) or source == PIPE else Pattern.parse(source)
        if Path(source).is_dir():
            yield Path(source)
        elif pattern is not None and not Path(source).exists():
            yield pattern


def _is_gone(file: Path, places: Sequence[Path | Pattern]) -> bool:
    """Whether a photo of one of the places is there no more. Where the folder it was in is empty, a disk may
    not be mounted, and it counts as there."""
    found_by = (
        place.matches(file) if isinstance(place, Pattern) else file.is_relative_to(place) for place in places
    )
    if not any(found_by) or os.path.lexists(file):
        return False
    there = next(folder for folder in file.parents if folder.is_dir() or folder == folder.parent)
    try:
        return any(True for _ in there.iterdir())
    except OSError:
        return False  # it cannot be looked into, so nothing is known


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
