"""Pages of a journal's items, by filters and in an order: the SQL of the review page.

A page begins behind the last item of the one before (its sort key and its number), so that the thousandth
costs what the first does, and an edit on the way neither repeats an item nor leaves one out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from visionpipe.errors import ParameterError
from visionpipe.pipeline.reading import COLUMNS, JournalView

MOST_AT_ONCE = 200
EVERY_JOB = "all"
"""In the place of a job's key: every job of the journal, an image once."""

_CAPTION = "coalesce({v}.caption, {v}.data, {r}.caption, '')"
_DATA = "coalesce({v}.data, {r}.data)"
_OUTCOME = "CASE WHEN {v}.caption IS NULL AND {v}.data IS NULL THEN {r}.outcome ELSE 'done' END"
_SORTS = {
    "listed": ("{r}.result", ""),
    "path": ("{r}.source", ""),
    "newest": ("{r}.recorded", "DESC"),
    "shortest": (f"length({_CAPTION})", ""),
    "longest": (f"length({_CAPTION})", "DESC"),
}
_REVIEWED = {
    "no": "{v}.source IS NULL",
    "yes": "{v}.source IS NOT NULL",
    "edited": "({v}.caption IS NOT NULL OR {v}.data IS NOT NULL)",
    "accepted": "{v}.verdict = 'accepted'",
    "rejected": "{v}.verdict = 'rejected'",
    "earlier": "{v}.source IS NULL AND EXISTS (SELECT 1 FROM {reviews} WHERE source = {r}.source "
    "AND shape = {shape})",
}
_NO_REVIEW = "(SELECT NULL AS source, NULL AS caption, NULL AS data, NULL AS verdict WHERE 0)"
_SEPARATORS = re.compile(r"\s*[,，、]\s*")
_SENTENCE_END = (".", "!", "?", "。", "！", "？")
_SAMPLE, _LONGEST_TAG, _MOST_WORDS = 200, 40, 5


@dataclass(frozen=True, slots=True)
class Kind:
    """What a job's answers are.

    Attributes:
        job: its key.
        shape: as edits note it.
        tags: of data, the property that is a list of tags.
        listed: they are plain texts, and each is tags with commas between them.
    """

    job: str
    shape: str = ""
    tags: str | None = None
    listed: bool = False

    @classmethod
    def of(cls, view: JournalView, job: str) -> Kind:
        """By the job's schema, and, without one, by what its first answers look like."""
        schema = view.schema(job)
        if schema is not None:
            return cls(job, view.shape(job), _tags_property(schema))
        found = view.database.all(
            "SELECT caption FROM results WHERE job = ? AND outcome = 'done' AND caption IS NOT NULL LIMIT ?",
            (job, _SAMPLE),
        )
        return cls(job, "", None, _are_lists([str(row["caption"]) for row in found]))

    @property
    def has_tags(self) -> bool:
        return self.listed or self.tags is not None


def tags_in(text: str) -> list[str]:
    """The tags of a text that lists them, each once."""
    return list(dict.fromkeys(tag for tag in _SEPARATORS.split(text.strip()) if tag))


def _tags_property(schema: Mapping[str, Any]) -> str | None:
    """The property ``tags``, else the only list of texts."""
    properties = schema.get("properties")
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


def _are_lists(texts: Sequence[str]) -> bool:
    """Whether nearly all are short words with commas between them, and most have three or more."""
    short = several = 0
    for text in texts:
        tags = tags_in(text)
        several += len(tags) > 2
        short += not text.rstrip().endswith(_SENTENCE_END) and all(
            len(tag) <= _LONGEST_TAG and len(tag.split()) <= _MOST_WORDS and "\n" not in tag for tag in tags
        )
    return bool(texts) and short >= 0.95 * len(texts) and several >= 0.6 * len(texts)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items; empty: any.

    Attributes:
        job: a recipe's key, which is a model and a prompt; or ``EVERY_JOB``.
        outcome: done, failed, skipped.
        note: a note's kind.
        model: that answered.
        prompt: the key of a job whose prompt it is.
        reviewed: no, yes, edited, accepted, rejected; earlier: only as another picture had the name.
        text: words, all of which the text or the reason holds.
        path: a part of the path.
        tag: one of the tags.
        sort: listed, path, newest, shortest, longest.
    """

    job: str
    outcome: str = ""
    note: str = ""
    model: str = ""
    prompt: str = ""
    reviewed: str = ""
    text: str = ""
    path: str = ""
    tag: str = ""
    sort: str = "listed"

    @classmethod
    def of(cls, values: Mapping[str, str], job: str) -> Filter:
        """From a query; ``job`` where it names none.

        Raises:
            ParameterError: a word that is no value of its name.
        """
        known = {one.name for one in fields(cls)}
        found = cls(**{"job": job, **{name: text for name, text in values.items() if name in known and text}})
        for name, words in (("sort", _SORTS), ("reviewed", _REVIEWED)):
            word = getattr(found, name)
            if word and word not in words:
                raise ParameterError(f"{word!r} is none", cure=f"There are {', '.join(words)}.", subject=name)
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """Some items' rows, in order, and the place behind the last; None: there are no more."""

    rows: list[Any]
    after: str | None


class Items:
    """The items of one or of all jobs of a journal.

    Args:
        view: the journal.
        kinds: of the jobs that are looked at, the one whose rows come first in front.
    """

    def __init__(self, view: JournalView, kinds: Sequence[Kind]) -> None:
        self._view = view
        self._kinds = kinds
        self._reviews = view.reviews if view.is_reviewed else None

    def page(self, wanted: Filter, after: str | None, most: int) -> Page:
        """One page.

        Args:
            wanted: which items, in which order.
            after: what the page before gave; None: the first.
            most: items of a page.

        Raises:
            ParameterError: ``after`` is none that a page gave.
        """
        most = max(1, min(most, MOST_AT_ONCE))
        key, direction = _SORTS[wanted.sort]
        key, alone = self._named(key), wanted.sort == "listed"
        conditions, values = self._matching(wanted)
        if after is not None:
            compared = "<" if direction else ">"
            conditions.append("r.result > ?" if alone else f"({key}, r.result) {compared} (?, ?)")
            values += _place(after, alone=alone)
        order = key if alone else f"{key} {direction}, r.result {direction}"
        columns = ", ".join(f"r.{name}" for name in COLUMNS.split(", "))
        rows = list(
            self._view.database.all(
                f"SELECT {columns}, r.result, {key} AS place FROM {self._from()} "
                f"WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?",
                (*values, most + 1),
            )
        )
        more = len(rows) > most
        rows = rows[:most]
        behind = json.dumps([rows[-1]["place"], rows[-1]["result"]]) if more else None
        return Page(rows, behind)

    def count(self, wanted: Filter) -> int:
        """How many items a filter has."""
        conditions, values = self._conditions(wanted)
        row = self._view.database.one(
            f"SELECT {self._each()} AS n FROM {self._from()} WHERE {' AND '.join(conditions)}", values
        )
        return 0 if row is None else int(row["n"])

    def matching(self, wanted: Filter) -> Iterator[Any]:
        """Every item's source, job, content, and what stands of its text, data and verdict, in the order of
        the job."""
        conditions, values = self._matching(wanted)
        data = self._named(_DATA)
        return self._view.database.all(
            f"SELECT r.source, r.job, r.content, coalesce(v.caption, r.caption) AS caption, {data} AS data, "
            f"v.verdict FROM {self._from()} WHERE {' AND '.join(conditions)} ORDER BY r.result",
            values,
        )

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """What the items can be filtered by, each with its count, the most frequent first."""
        found = {}
        of_jobs = self._of_jobs("r")
        for name, expression in (
            ("outcome", self._named(_OUTCOME)),
            ("model", "r.model"),
            ("reviewed", "CASE WHEN v.source IS NULL THEN 'no' ELSE ifnull(v.verdict, 'edited') END"),
        ):
            found[name] = self._counted(
                f"SELECT {expression} AS name, {self._each()} AS n FROM {self._from()} "
                f"WHERE {of_jobs} GROUP BY 1"
            )
        found["prompt"] = []
        if self._is_every:
            found["prompt"] = self._counted(
                f"SELECT min(r.job) AS name, {self._each()} AS n FROM results AS r JOIN jobs USING (job) "
                f"WHERE {of_jobs} GROUP BY jobs.template"
            )
        found["note"] = self._counted(
            f"SELECT json_extract(one.value, '$.kind') AS name, {self._each()} AS n "
            "FROM results AS r, json_each(r.notes) AS one "
            f"WHERE {of_jobs} AND r.notes IS NOT NULL AND json_valid(r.notes) GROUP BY 1"
        )
        found["tag"] = []
        if any(kind.has_tags for kind in self._kinds):
            found["tag"] = self._counted(
                f"SELECT trim(one.value) AS name, {self._each()} AS n FROM {self._from()}, "
                f"json_each({self._tags('r', 'v')}) AS one WHERE {of_jobs} AND one.type = 'text' "
                "AND trim(one.value) <> '' GROUP BY 1"
            )
        return found

    @property
    def _is_every(self) -> bool:
        return len(self._kinds) != 1

    def _each(self) -> str:
        """Counts items: of several jobs an image once."""
        return "count(DISTINCT r.source)" if self._is_every else "count(DISTINCT r.result)"

    def _counted(self, sql: str) -> list[tuple[str, int]]:
        rows = self._view.database.all(f"{sql} ORDER BY n DESC, name LIMIT 300")
        return [(str(row["name"]), int(row["n"])) for row in rows if row["name"] is not None]

    def _of_jobs(self, r: str) -> str:
        return f"{r}.job IN ({', '.join(_quoted(kind.job) for kind in self._kinds)})"

    def _rank(self, r: str) -> str:
        cases = " ".join(f"WHEN {_quoted(kind.job)} THEN {rank}" for rank, kind in enumerate(self._kinds))
        return f"CASE {r}.job {cases} END"

    def _shape(self, r: str) -> str:
        """The kind of a row's answer."""
        shapes = {kind.shape for kind in self._kinds}
        if len(shapes) == 1:
            return _quoted(shapes.pop())
        cases = " ".join(f"WHEN {_quoted(kind.job)} THEN {_quoted(kind.shape)}" for kind in self._kinds)
        return f"CASE {r}.job {cases} END"

    def _tags(self, r: str, v: str) -> str:
        """A row's tags as a JSON list, NULL where it has none."""
        data, text = _DATA.format(r=r, v=v), f"coalesce({v}.caption, {r}.caption)"
        commas = f"replace(replace({text}, '，', ','), '、', ',')"
        cases = []
        for kind in self._kinds:
            found = None
            if kind.tags is not None:
                path = _quoted(_json_path(kind.tags))
                found = f"CASE WHEN json_valid({data}) THEN json_extract({data}, {path}) END"
            elif kind.listed:
                found = f"'[' || replace(json_quote({commas}), ',', '\",\"') || ']'"
            if found is not None:
                cases.append(f"WHEN {_quoted(kind.job)} THEN {found}")
        return f"CASE {r}.job {' '.join(cases)} END" if cases else "NULL"

    def _from(self, r: str = "r", v: str = "v") -> str:
        """Results, each with what stands of the edits of its picture."""
        if self._reviews is None:
            return f"results AS {r} LEFT JOIN {_NO_REVIEW} AS {v} ON 1"
        item = f"w.source = {r}.source AND w.shape = {self._shape(r)}"
        return (
            f"results AS {r} LEFT JOIN {self._reviews} AS {v} ON {v}.source = {r}.source "
            f"AND {v}.shape = {self._shape(r)} AND {v}.content = (SELECT w.content FROM {self._reviews} AS w "
            f"WHERE {item} AND ({r}.content IS NULL OR w.content IN ('', {r}.content)) "
            "ORDER BY w.at DESC LIMIT 1)"
        )

    def _named(self, expression: str, r: str = "r", v: str = "v") -> str:
        reviews = self._reviews or _NO_REVIEW
        return expression.format(r=r, v=v, reviews=reviews, shape=self._shape(r))

    def _matching(self, wanted: Filter) -> tuple[list[str], list[Any]]:
        """Of several rows about one image the first job's alone, where there are several jobs."""
        conditions, values = self._conditions(wanted)
        if self._is_every:
            others, again = self._conditions(wanted, "x", "y")
            conditions.append(
                f"NOT EXISTS (SELECT 1 FROM {self._from('x', 'y')} WHERE x.source = r.source "
                f"AND ({self._rank('x')}, x.result) < ({self._rank('r')}, r.result) "
                f"AND {' AND '.join(others)})"
            )
            values += again
        return conditions, values

    def _conditions(self, wanted: Filter, r: str = "r", v: str = "v") -> tuple[list[str], list[Any]]:
        conditions, values = [self._of_jobs(r)], list[Any]()
        if wanted.outcome:
            conditions.append(f"{self._named(_OUTCOME, r, v)} = ?")
            values.append(wanted.outcome)
        if wanted.model:
            conditions.append(f"{r}.model = ?")
            values.append(wanted.model)
        if wanted.prompt:
            conditions.append(
                f"{r}.job IN (SELECT job FROM jobs WHERE template = "
                "(SELECT template FROM jobs WHERE job = ?))"
            )
            values.append(wanted.prompt)
        if wanted.note:
            conditions.append(f"{r}.notes LIKE ? ESCAPE '!'")
            values.append(_within(f'"kind":{json.dumps(wanted.note)}'))
        if wanted.reviewed:
            conditions.append(self._named(_REVIEWED[wanted.reviewed], r, v))
        for word in wanted.text.split():
            text = self._named(_CAPTION, r, v)
            conditions.append(
                f"{text} || ifnull({r}.failure, '') || ifnull({r}.reason, '') LIKE ? ESCAPE '!'"
            )
            values.append(_within(word))
        if wanted.path:
            conditions.append(f"{r}.source LIKE ? ESCAPE '!'")
            values.append(_within(wanted.path))
        if wanted.tag:
            conditions.append(f"EXISTS (SELECT 1 FROM json_each({self._tags(r, v)}) WHERE trim(value) = ?)")
            values.append(wanted.tag)
        return conditions, values


def _quoted(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def _within(text: str) -> str:
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return f"%{text}%"


def _json_path(name: str) -> str:
    return f"$.{json.dumps(name, ensure_ascii=False)}"


def _place(after: str, *, alone: bool) -> list[Any]:
    try:
        key, result = json.loads(after)
    except (ValueError, TypeError) as error:
        raise ParameterError(
            "no page ends there", cure="Go on from the first page.", subject="after"
        ) from error
    return [result] if alone else [key, result]
