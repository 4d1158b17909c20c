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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from visionpipe.errors import ParameterError, VisionPipeError
from visionpipe.images.thumbnail import thumbnail
from visionpipe.pipeline.contents import fingerprint, stat_of
from visionpipe.pipeline.edits import Edits, Review, Step, StepKind, history
from visionpipe.pipeline.reading import JournalView, recorded_schema, result_of, storable
from visionpipe.pipeline.reading import UnreadableRowError as Unreadable
from visionpipe.results import ItemResult
from visionpipe.serve.items import EVERY_JOB, Filter, Items, Kind, tags_in
from visionpipe.sinks.sink import Locate
from visionpipe.sources.walking import Source
from visionpipe.stages.keys import sha256_of
from visionpipe.stages.schema import MappedShape, MisfitError
from visionpipe.values import JSON

PREVIEWED = 50
FEW = 500
"""So many named items are looked up one by one."""
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
        title: the journal's name on the page; default its path.

    Raises:
        JournalError: there is no such journal, or it cannot be read.
    """

    def __init__(
        self,
        journal: Path,
        who: str,
        locate: Locate,
        *,
        edits: Edits | None = None,
        title: str | None = None,
    ) -> None:
        recorded_schema(journal)  # that it is there, and a journal
        self.journal = journal
        self.title = str(journal) if title is None else title
        self.who = who
        self.edits = edits or Edits(journal, who)
        if not self.edits.is_held:
            self.edits.prepare()
        self._view = JournalView.open(journal)
        # What counts a hundred thousand items does not keep a page waiting.
        self._slow = JournalView.open(journal)
        self._locate = locate
        self._kinds: dict[str, Kind] = {}
        self.pictures = Pictures(locate)

    def close(self) -> None:
        self._view.close()
        self._slow.close()

    def template(self, job: str) -> str:
        """The prompt of a job."""
        return self._view.template(job) or ""

    def sources(self, wanted: Filter, chosen: Iterable[str] | None) -> list[Source]:
        """The items of a filter, or just the chosen of them, as a job takes them."""
        names = [str(row["source"]) for row in self._matching(wanted, chosen)]
        return [Source(name, str(self._locate(name) or name)) for name in names]

    def filter(self, values: Mapping[str, str]) -> Filter:
        """The filter that a query asks for; of the job that outputs show, where it names none."""
        return Filter.of(values, self.last_job)

    @property
    def last_job(self) -> str:
        """The job that outputs show."""
        return self._view.last_job()

    def jobs(self) -> list[dict[str, JSON]]:
        """The journal's jobs, the last one first."""
        return [
            {"job": job, "model": model, "prompt": template, "items": sum(counts.values())}
            for job, model, template, counts in reversed(list(self._slow.jobs()))
        ]

    def schema(self, job: str) -> dict[str, Any] | None:
        """The JSON Schema of a job's data."""
        return self._view.schema(job)

    def kinds(self, job: str) -> list[Kind]:
        """Of what kind a job's answers are, or those of every job, the last one first."""
        if job != EVERY_JOB:
            return [self._kind(job)]
        return [
            self._kind(row["job"])
            for row in self._view.database.all("SELECT job FROM jobs ORDER BY last_run DESC, job")
        ]

    def _kind(self, job: str) -> Kind:
        found = self._kinds.get(job)
        if found is None:
            found = self._kinds[job] = Kind.of(self._view, job)
        return found

    def page(self, wanted: Filter, after: str | None, most: int) -> dict[str, JSON]:
        """Some items, and where the next ones begin; of all jobs each with every answer it got."""
        found = Items(self._view, self.kinds(wanted.job)).page(wanted, after, most)
        items: list[JSON] = []
        for row in found.rows:
            item = self._item(row)
            if wanted.job == EVERY_JOB:
                item["answers"] = [*self._answers(row["source"])]
            items.append(item)
        return {"items": items, "after": found.after}

    def count(self, wanted: Filter) -> int:
        """How many items a filter has."""
        return Items(self._slow, self.kinds(wanted.job)).count(wanted)

    def facets(self, job: str) -> dict[str, list[tuple[str, int]]]:
        """What can be filtered by."""
        return Items(self._slow, self.kinds(job)).facets()

    def item(self, source: str, job: str) -> dict[str, JSON]:
        """One item whole: every answer it ever got, and its history.

        Args:
            job: whose end it came to; of all jobs, the last one's.

        Raises:
            ParameterError: the journal has none of that name.
        """
        row = self._row(source, job)
        shape = self._view.shape(row["job"])
        answers = [
            one
            for one in self._answers(source)
            if job == EVERY_JOB or self._view.shape(str(one["job"])) == shape
        ]
        content = row["content"]
        steps: list[JSON] = [
            {**asdict(step), "earlier": bool(content and step.content and step.content != content)}
            for step in history(self._view.database, storable(source) or "", shape)
        ]
        changed = self._has_changed(source, content)
        return {**self._item(row), "answers": list(answers), "history": steps, "changed": changed}

    def _row(self, source: str, job: str) -> Any:
        row = self._view.database.one(
            "SELECT results.* FROM results JOIN jobs USING (job) WHERE source = ?1 AND (job = ?2 OR ?2 = ?3) "
            "ORDER BY last_run DESC, recorded DESC LIMIT 1",
            (storable(source), job, EVERY_JOB),
        )
        if row is None:
            raise ParameterError("there is no such item", cure="Load the page again.", subject=source)
        return row

    def _answers(self, source: str) -> list[dict[str, JSON]]:
        """Every answer that an item ever got, the newest first, each text of a model and prompt once;
        ``shown``: it is of the job that outputs show."""
        last = self.last_job
        found = self._view.database.all(
            "SELECT results.*, jobs.template FROM results JOIN jobs USING (job) "
            "WHERE source = ? AND outcome = 'done' ORDER BY recorded DESC, result DESC",
            (storable(source),),
        )
        answers = {
            (row["model"], row["template"], row["caption"], row["data"]): {
                "result": row["result"],
                "job": row["job"],
                "shown": row["job"] == last,
                "model": row["model"],
                "prompt": row["template"],
                "caption": row["caption"],
                "data": _loaded(row["data"]),
            }
            for row in reversed(list(found))
        }
        return list(reversed(answers.values()))

    def _has_changed(self, source: str, content: str | None) -> bool:
        """Whether the picture that is shown is another one than the answer is about."""
        path = self._locate(source)
        if path is None or sha256_of(content) is None:
            return False
        known = self._view.database.one(
            "SELECT size, modified_ns FROM sources WHERE source = ? AND content = ?",
            (storable(source), content),
        )
        try:
            stat = stat_of(str(path))
            if known is not None and (known["size"], known["modified_ns"]) == (stat.size, stat.modified_ns):
                return False
            return fingerprint(str(path))[0] != content
        except VisionPipeError:
            return False

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

        Args:
            job: whose answer it is, or another job's with answers of its kind.

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
        verdict = replace(step, field="verdict", value="accepted")
        return self.edits.apply(self._view.shape(job), [step, verdict])

    def judge(
        self, wanted: Filter, sources: Iterable[str] | None, verdict: str | None, *, dry: bool = False
    ) -> dict[str, JSON]:
        """Accepts or rejects items, or, with None, opens them again.

        Args:
            wanted: which items.
            sources: of these, just the named ones.
            dry: only show what would change.

        Raises:
            ParameterError: another word, or an item that is none of the journal's.
            JournalError: as for ``write``.
        """
        kinds: dict[str | None, StepKind] = {"accepted": "accept", "rejected": "reject", None: "reopen"}
        if verdict not in kinds:
            raise ParameterError(f"{verdict!r} is none", cure="accepted or rejected.", subject="verdict")
        steps: dict[str, list[Step]] = {}
        shown: list[JSON] = []
        for row in self._matching(wanted, sources):
            if row["verdict"] == verdict:
                continue
            source = str(row["source"])
            step = Step(source, "verdict", verdict, kinds[verdict], self._content(source, row["content"]))
            steps.setdefault(self._view.shape(row["job"]), []).append(step)
            if len(shown) < PREVIEWED:
                shown.append({"source": source, "before": row["caption"] or "", "verdict": row["verdict"]})
        return self._done(steps, shown, dry=dry)

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
            wanted: which items; of tags, each that holds ``find`` is changed, and ``prefix`` and ``suffix``
                are tags to put first and last. Of other data nothing is changed.
            sources: of these, just the named ones.
            dry: only show what would change.

        Raises:
            ParameterError: nothing is to be changed.
            JournalError: as for ``write``.
        """
        if not (find or prefix or suffix):
            raise ParameterError("nothing is to be changed", cure="Say what to find or to add.")
        change = BulkChange(find, replacement, prefix, suffix)
        steps: dict[str, list[Step]] = {}
        shown: list[JSON] = []
        for row in self._matching(wanted, sources):
            kind = self._kind(row["job"])
            before = row["data"] if kind.shape else row["caption"]
            after = change.of(before, kind)
            if after is None or after == before:
                continue
            source = str(row["source"])
            step = Step(source, "data" if kind.shape else "caption", after)
            content = self._content(source, row["content"])
            steps.setdefault(kind.shape, []).append(replace(step, content=content))
            if len(shown) < PREVIEWED:
                shown.append({"source": source, "before": before, "after": after})
        return self._done(steps, shown, dry=dry)

    def _done(self, steps: Mapping[str, Sequence[Step]], shown: list[JSON], *, dry: bool) -> dict[str, JSON]:
        action = 0
        for shape, some in steps.items():
            action = action if dry else self.edits.apply(shape, some)
        return {"changes": sum(map(len, steps.values())), "shown": shown, "action": action}

    def _matching(self, wanted: Filter, chosen: Iterable[str] | None) -> Iterator[Any]:
        """The items of a filter, or just the chosen of them, whatever the filter says of these by now."""
        if chosen is None:
            yield from Items(self._slow, self.kinds(wanted.job)).matching(wanted)
            return
        names = {storable(one) for one in chosen}
        if len(names) <= FEW:
            for name in names:
                yield self._standing_row(name or "", wanted.job)
            return
        for row in Items(self._slow, self.kinds(wanted.job)).matching(Filter(wanted.job)):
            if row["source"] in names:
                yield row

    def _standing_row(self, source: str, job: str) -> dict[str, Any]:
        """As a row of ``Items.matching``."""
        row = self._row(source, job)
        review = self._review(row)
        standing = review if review is not None and not review.earlier else None
        return {
            "source": row["source"],
            "job": row["job"],
            "content": row["content"],
            "caption": row["caption"] if standing is None or standing.caption is None else standing.caption,
            "data": row["data"] if standing is None or standing.data is None else standing.data,
            "verdict": None if standing is None else standing.verdict,
        }

    def _content(self, source: str, recorded: str | None) -> str:
        """The content of the picture that a step is about; of one never read it is that of its file."""
        if recorded is not None:
            return recorded
        path = self._locate(source)
        try:
            return "" if path is None else fingerprint(str(path))[0]
        except VisionPipeError:
            return ""

    def _step(self, job: str, source: str, value: JSON, kind: StepKind) -> Step:
        row = self._row(source, job)
        content = self._content(source, row["content"])
        schema = self.schema(job)
        if schema is None:
            if row["data"] is not None:
                raise ParameterError(
                    "the schema of this job's data is not recorded",
                    cure="Run the job once more, which notes it, and review again.",
                    subject=source,
                )
            if not isinstance(value, str | None):
                raise ParameterError("it is no text", cure="Give a text.", subject=source)
            return Step(row["source"], "caption", value, kind, content)
        if value is not None:
            try:
                MappedShape(schema).validate(value)
            except MisfitError as error:
                raise ParameterError(
                    f"the data does not fit its schema: {error}", cure="Change it.", subject=source
                ) from error
        text = None if value is None else json.dumps(value, ensure_ascii=False)
        return Step(row["source"], "data", text, kind, content)

    def _review(self, row: Any) -> Review | None:
        return self._view.review_in(row["source"], row["job"], row["content"])

    def _item(self, row: Any) -> dict[str, JSON]:
        job = row["job"]
        try:
            said = result_of(row)
        except Unreadable as error:
            return {"source": str(row["source"]), "outcome": "failed", "reason": f"cannot be read: {error}"}
        result = self._view.shown(said, job)
        review = self._review(row)
        standing = review if review is not None and not review.earlier else None
        earlier: JSON = None
        if review is not None and review.earlier and (review.caption or review.data):
            earlier = {
                "caption": review.caption or review.data,
                "data": _loaded(review.data),
                "who": review.who,
                "at": review.at,
            }
        return {
            **_shown(result),
            "job": job,
            "said": said.caption if standing is not None and result.caption != said.caption else None,
            "verdict": None if standing is None else standing.verdict,
            "edited": standing is not None and (standing.caption is not None or standing.data is not None),
            "earlier": earlier,
            "who": None if standing is None else standing.who,
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


@dataclass(frozen=True, slots=True)
class BulkChange:
    """What is done to many texts, or, where they are tags, to each tag."""

    find: str
    replacement: str
    prefix: str
    suffix: str

    def of(self, text: str | None, kind: Kind) -> str | None:
        """The text, or the data as JSON, after it; None where there is nothing to change."""
        if text is None:
            return None
        if kind.listed:
            return ", ".join(self._tags(tags_in(text)))
        if not kind.shape:
            replaced = text.replace(self.find, self.replacement) if self.find else text
            return f"{self.prefix}{replaced}{self.suffix}"
        data = _loaded(text)
        if kind.tags is None or not isinstance(data, dict) or not isinstance(data.get(kind.tags), list):
            return None
        changed = self._tags(data[kind.tags])
        if changed == data[kind.tags]:
            return None
        return json.dumps({**data, kind.tags: changed}, ensure_ascii=False)

    def _tags(self, tags: list[Any]) -> list[Any]:
        if self.find:
            tags = [one.replace(self.find, self.replacement) if isinstance(one, str) else one for one in tags]
        kept = dict.fromkeys([*tags_in(self.prefix), *tags, *tags_in(self.suffix)])
        return [one for one in kept if not isinstance(one, str) or one.strip()]


def _loaded(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
