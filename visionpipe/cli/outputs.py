"""Where a run's results go: sinks that grow with the run, and sinks written whole at its end.

The rule: the journal is the truth. A growing output begins as a copy of what the journal holds, so that a
run taken up again never leaves it with less than before; at the end each output equals the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from visionpipe.errors import OutputError
from visionpipe.pipeline.reading import recorded_results
from visionpipe.results import ItemResult
from visionpipe.sinks.opening import SIDECARS, SinkOptions, open_sink, sink_kind
from visionpipe.sinks.sink import Sink, export

_REBUILT_AT_START = ("jsonl",)


class Outputs:
    """The outputs of one run.

    Args:
        specs: what stood after ``-o``.
        journal: the run's journal.
        options: what sinks need to know.
        job: the recipe's key in the journal.
    """

    def __init__(self, specs: Sequence[str], journal: Path, options: SinkOptions, job: str) -> None:
        self._specs = specs
        self._journal = journal
        self._options = options
        self._job = job
        self._growing: list[Sink] = []
        self._whole: list[str] = []
        self._lines = 0
        self.refused: list[OutputError] = []

    def open(self) -> None:
        """Open the growing outputs, and prove the others can be opened.

        Raises:
            ParameterError, OutputError, ConfigurationError: before anything is asked.
        """
        for spec in self._specs:
            kind, place = sink_kind(spec)
            if kind in _REBUILT_AT_START:
                self._lines = self._rebuild(place)
            sink = open_sink(spec, self._options)
            if sink.keeps_previous:
                self._growing.append(sink)
            else:
                sink.abort()
                self._whole.append(spec)

    def write(self, result: ItemResult) -> None:
        """Take one new result.

        Raises:
            OutputError: with scope "job", where nothing more can be written.
        """
        self._lines += 1
        for sink in self._growing:
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
        for sink in self._growing:
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

        if not self._journal.exists():
            Path(place).unlink(missing_ok=True)
            return 0
        draft = Path(f"{place}.rebuilding")
        written, _ = export(self._recorded(), JsonlSink(draft, start_over=True))
        draft.replace(place)
        return written

    def _recorded(self) -> Iterator[ItemResult]:
        return recorded_results(self._journal, job=self._job)


def default_journal(specs: Sequence[str], sources: Sequence[str]) -> Path:
    """Beside the first output that is a file, else hidden in the first source's folder."""
    for spec in specs:
        kind, place = sink_kind(spec)
        if kind not in SIDECARS:
            return Path(f"{place}.journal")
    first = Path(sources[0])
    return (first if first.is_dir() else Path()) / ".visionpipe.journal"
