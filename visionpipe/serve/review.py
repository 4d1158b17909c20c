"""A review of a job: its items as the page shows them, pictures, and what a reviewer does to them.

Everything read comes through the journal's own reading, and everything written through its edits, so what
the page shows is what an export would write.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visionpipe.errors import ParameterError
from visionpipe.pipeline.edits import Edits, Step, history
from visionpipe.pipeline.reading import JournalView, recorded_schema, result_of, storable
from visionpipe.pipeline.reading import UnreadableRowError as Unreadable
from visionpipe.results import ItemResult
from visionpipe.serve.items import Filter, count, facets, matching, page
from visionpipe.sinks.html import thumbnail
from visionpipe.sinks.sink import Locate
from visionpipe.sources.walking import Source
from visionpipe.stages.schema import MappedShape, MisfitError
from visionpipe.values import JSON

PREVIEWED = 50
MOST_PICTURE_BYTES = 64 << 20
SIDES = (360, 1600)
"""Longest sides of pictures, in pixels: of the grid, and of one alone."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A WebP and what tells it from an earlier one."""

    data: bytes
    etag: str


class Pictures:
    """Thumbnails, made when they are asked for, the last ones kept.

    Args:
        locate: from a source to its file.
    """

    def __init__(self, locate: Locate) -> None:
        self._locate = locate
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(max(2, os.cpu_count() or 2))
        self._kept: OrderedDict[tuple[str, int], Picture] = OrderedDict()
        self._bytes = 0

    def etag(self, source: str, side: int) -> str | None:
        """What tells this picture from an earlier one of the name; None where there is no file."""
        path = self._locate(source)
        try:
            found = None if path is None else path.stat()
        except (OSError, ValueError):
            return None
        if path is None or found is None:
            return None
        told = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{side}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(told).hexdigest()[:24]

    def get(self, source: str, side: int) -> Picture | None:
        """The picture, its longest side ``side``; None where there is none that can be read."""
        etag = self.etag(source, side)
        if etag is None:
            return None
        with self._lock:
            kept = self._kept.get((source, side))
            if kept is not None and kept.etag == etag:
                self._kept.move_to_end((source, side))
                return kept
        path = self._locate(source)
        with self._decoding:
            data = None if path is None else thumbnail(path, side)
        if data is None:
            return None
        made = Picture(data, etag)
        with self._lock:
            earlier = self._kept.pop((source, side), None)
            self._kept[source, side] = made
            self._bytes += len(data) - (len(earlier.data) if earlier is not None else 0)
            while self._bytes > MOST_PICTURE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.data)
        return made


class Reviewer:
    """A journal as one person reviews it.

    Args:
        journal: the job's; it has to be there.
        who: the reviewer's name, for the history.
        locate: from a source to its file.
        edits: what writes; default one on the journal.

    Raises:
        JournalError: there is no such journal, or it cannot be read.
    """

    def __init__(self, journal: Path, who: str, locate: Locate, *, edits: Edits | None = None) -> None:
        recorded_schema(journal)  # that it is there, and a journal
        self.journal = journal
        self.who = who
        self.edits = edits or Edits(journal, who)
        if not self.edits.is_held:
            self.edits.prepare()
        self._view = JournalView.open(journal)
        # What counts a hundred thousand items does not keep a page waiting.
        self._slow = JournalView.open(journal)
        self._locate = locate
        self.pictures = Pictures(locate)

    def close(self) -> None:
        self._view.close()
        self._slow.close()

    def template(self, job: str) -> str:
        """The prompt of a job."""
        return self._view.template(job) or ""

    def sources(self, wanted: Filter, chosen: Iterable[str] | None) -> list[Source]:
        """The items of a filter, or just the chosen of them, as a job takes them."""
        only = None if chosen is None else {storable(one) for one in chosen}
        names = [
            str(row["source"])
            for row in matching(self._slow, wanted, self.tags(wanted.job))
            if only is None or row["source"] in only
        ]
        return [Source(name, str(self._locate(name) or name)) for name in names]

    def filter(self, values: Mapping[str, str]) -> Filter:
        """The filter that a query asks for; of the job that outputs show, where it names none."""
        return Filter.of(values, self._view.last_job())

    def jobs(self) -> list[dict[str, JSON]]:
        """The journal's jobs, the last one first."""
        return [
            {"job": job, "model": model, "prompt": template, "items": sum(counts.values())}
            for job, model, template, counts in reversed(list(self._slow.jobs()))
        ]

    def schema(self, job: str) -> dict[str, Any] | None:
        """The JSON Schema of a job's data."""
        return self._view.schema(job)

    def tags(self, job: str) -> str | None:
        """Of a job's data, the property that is a list of tags: ``tags``, else the only list of texts."""
        properties = (self.schema(job) or {}).get("properties")
        if not isinstance(properties, dict):
            return None
        lists = [
            name
            for name, shape in properties.items()
            if isinstance(shape, dict)
            and shape.get("type") == "array"
            and isinstance(shape.get("items"), dict)
            and shape["items"].get("type") == "string"
        ]
        return "tags" if "tags" in lists else lists[0] if len(lists) == 1 else None

    def page(self, wanted: Filter, after: str | None, most: int) -> dict[str, JSON]:
        """Some items, and where the next ones begin."""
        found = page(self._view, wanted, self.tags(wanted.job), after, most)
        items: list[JSON] = [self._item(row, wanted.job) for row in found.rows]
        return {"items": items, "after": found.after}

    def count(self, wanted: Filter) -> int:
        """How many items a filter has."""
        return count(self._slow, wanted, self.tags(wanted.job))

    def facets(self, job: str) -> dict[str, list[tuple[str, int]]]:
        """What can be filtered by."""
        return facets(self._slow, job, self.tags(job))

    def item(self, source: str, job: str) -> dict[str, JSON]:
        """One item whole: every answer it ever got, and its history.

        Raises:
            ParameterError: the journal has none of that name.
        """
        row = self._view.database.one(
            "SELECT * FROM results WHERE source = ? AND job = ?", (storable(source), job)
        )
        if row is None:
            raise ParameterError("there is no such item", cure="Load the page again.", subject=source)
        shape = self._view.shape(job)
        said = self._view.database.all(
            "SELECT results.*, jobs.template FROM results JOIN jobs USING (job) "
            "WHERE source = ? AND outcome = 'done' ORDER BY recorded DESC",
            (storable(source),),
        )
        answers: list[JSON] = [
            {
                "result": one["result"],
                "model": one["model"],
                "prompt": one["template"],
                "caption": one["caption"],
                "data": _loaded(one["data"]),
            }
            for one in said
            if self._view.shape(one["job"]) == shape
        ]
        steps: list[JSON] = [asdict(step) for step in history(self._view.database, source, shape)]
        return {**self._item(row, job), "answers": answers, "history": steps}

    def knows(self, source: str) -> bool:
        """Whether the journal has an item of that name; no other file is ever shown."""
        row = self._view.database.one("SELECT 1 FROM results WHERE source = ? LIMIT 1", (storable(source),))
        return row is not None

    def write(self, job: str, source: str, value: JSON) -> int:
        """Puts a person's words in the place of the model's; None: the model's again.

        Args:
            value: the text, or, where the job has a schema, data that fits it.

        Raises:
            ParameterError: the data does not fit the schema, or there is no such item.
            JournalError: a run holds the journal.
        """
        return self.edits.apply(self._view.shape(job), [self._step(job, source, value, "edit")])

    def choose(self, job: str, source: str, result: int) -> int:
        """Takes one of several answers for the item's own.

        Raises:
            ParameterError, JournalError: as for ``write``; or there is no such answer.
        """
        row = self._view.database.one(
            "SELECT caption, data FROM results WHERE result = ? AND source = ? AND outcome = 'done'",
            (result, storable(source)),
        )
        if row is None:
            raise ParameterError("there is no such answer", cure="Load the page again.", subject=source)
        value: JSON = _loaded(row["data"]) if self._view.shape(job) else row["caption"]
        step = self._step(job, source, value, "choose")
        return self.edits.apply(
            self._view.shape(job), [step, Step(step.source, "verdict", "accepted", "choose")]
        )

    def judge(self, job: str, sources: Iterable[str], verdict: str | None) -> int:
        """Accepts or rejects items, or, with None, opens them again.

        Raises:
            ParameterError: another word.
            JournalError: as for ``write``.
        """
        kinds = {"accepted": "accept", "rejected": "reject", None: "reopen"}
        if verdict not in kinds:
            raise ParameterError(f"{verdict!r} is none", cure="accepted or rejected.", subject="verdict")
        steps = [Step(self._known(one), "verdict", verdict, kinds[verdict]) for one in sources]  # type: ignore[arg-type]  # one of StepKind
        return self.edits.apply(self._view.shape(job), steps)

    def bulk(
        self,
        wanted: Filter,
        sources: Iterable[str] | None,
        *,
        find: str = "",
        replacement: str = "",
        prefix: str = "",
        suffix: str = "",
        dry: bool = True,
    ) -> dict[str, JSON]:
        """Finds and replaces in many texts at once, or puts something before or after them.

        Args:
            wanted: which items; of data, only tags are changed, each that holds ``find``.
            sources: of these, just the named ones.
            dry: only show what would change.

        Raises:
            ParameterError: nothing is to be changed.
            JournalError: as for ``write``.
        """
        if not (find or prefix or suffix):
            raise ParameterError("nothing is to be changed", cure="Say what to find or to add.")
        tags = self.tags(wanted.job)
        chosen = None if sources is None else {storable(one) for one in sources}
        structured = bool(self._view.shape(wanted.job))
        steps: list[Step] = []
        shown: list[JSON] = []
        for row in matching(self._slow, wanted, tags):
            if chosen is not None and row["source"] not in chosen:
                continue
            if structured:
                before, after = row["data"], _retagged(row["data"], tags, find, replacement)
            else:
                before = row["caption"]
                after = before and f"{prefix}{before.replace(find, replacement) if find else before}{suffix}"
            if after is None or after == before:
                continue
            steps.append(Step(row["source"], "data" if structured else "caption", after))
            if len(shown) < PREVIEWED:
                shown.append({"source": row["source"], "before": before, "after": after})
        action = 0 if dry else self.edits.apply(self._view.shape(wanted.job), steps)
        return {"changes": len(steps), "shown": shown, "action": action}

    def _step(self, job: str, source: str, value: JSON, kind: Any) -> Step:
        schema = self.schema(job)
        if schema is None:
            if not isinstance(value, str | None):
                raise ParameterError("it is no text", cure="Give a text.", subject=source)
            return Step(self._known(source), "caption", value, kind)
        if value is not None:
            try:
                MappedShape(schema).validate(value)
            except MisfitError as error:
                raise ParameterError(
                    f"the data does not fit its schema: {error}", cure="Change it.", subject=source
                ) from error
        text = None if value is None else json.dumps(value, ensure_ascii=False)
        return Step(self._known(source), "data", text, kind)

    def _known(self, source: str) -> str:
        if not self.knows(source):
            raise ParameterError("there is no such item", cure="Load the page again.", subject=source)
        return storable(source) or ""

    def _item(self, row: Any, job: str) -> dict[str, JSON]:
        try:
            said = result_of(row)
        except Unreadable as error:
            return {"source": str(row["source"]), "outcome": "failed", "reason": f"cannot be read: {error}"}
        result = self._view.shown(said, job)
        review = self._view.review(said.source, job)
        return {
            **_shown(result),
            "said": said.caption if review is not None and result.caption != said.caption else None,
            "verdict": None if review is None else review.verdict,
            "edited": review is not None and (review.caption is not None or review.data is not None),
            "who": None if review is None else review.who,
            "seen": self.pictures.etag(said.source, SIDES[0]),
        }


def _shown(result: ItemResult) -> dict[str, JSON]:
    failure = result.failure
    return {
        "source": result.source,
        "outcome": result.outcome.value,
        "caption": result.caption,
        "data": result.data,
        "reason": failure.reason if failure else result.reason,
        "cure": failure.cure if failure else None,
        "model": result.model,
        "local": result.local,
        "cost": str(result.cost) if result.cost else None,
        "duplicate_of": result.duplicate_of,
        "notes": [[note.kind, note.detail] for note in result.notes],
        "adjustments": [f"{one.kind}: {one.detail}" for one in result.adjustments],
    }


def _retagged(text: str | None, tags: str | None, find: str, replacement: str) -> str | None:
    data = _loaded(text)
    if tags is None or not find or not isinstance(data, dict) or not isinstance(data.get(tags), list):
        return None
    changed = [one.replace(find, replacement) if isinstance(one, str) else one for one in data[tags]]
    kept = [one for one in dict.fromkeys(changed) if one != ""]
    return None if kept == data[tags] else json.dumps({**data, tags: kept}, ensure_ascii=False)


def _loaded(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
