"""Pages of a journal's items, by filters and in an order: the SQL of the review page.

A page begins behind the last item of the one before (its sort key and its number), so that the thousandth
costs what the first does, and an edit on the way neither repeats an item nor leaves one out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from visionpipe.errors import ParameterError
from visionpipe.pipeline.reading import COLUMNS, JournalView

MOST_AT_ONCE = 200

_CAPTION = "coalesce(v.caption, v.data, r.caption, '')"
_DATA = "coalesce(v.data, r.data)"
_OUTCOME = "CASE WHEN v.caption IS NULL AND v.data IS NULL THEN r.outcome ELSE 'done' END"
_SORTS = {
    "listed": ("r.result", ""),
    "path": ("r.source", ""),
    "newest": ("r.recorded", "DESC"),
    "shortest": (f"length({_CAPTION})", ""),
    "longest": (f"length({_CAPTION})", "DESC"),
}
_REVIEWED = {
    "no": "v.source IS NULL",
    "yes": "v.source IS NOT NULL",
    "edited": "(v.caption IS NOT NULL OR v.data IS NOT NULL)",
    "accepted": "v.verdict = 'accepted'",
    "rejected": "v.verdict = 'rejected'",
}
_NONE = (
    "(SELECT NULL AS source, NULL AS shape, NULL AS caption, NULL AS data, NULL AS verdict, NULL AS who, "
    "NULL AS at WHERE 0)"
)
"""In the place of the edits of a journal that has no such table yet."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items; empty: any.

    Attributes:
        job: a recipe's key, which is a model and a prompt.
        outcome: done, failed, skipped.
        note: a note's kind.
        model: that answered.
        reviewed: no, yes, edited, accepted, rejected.
        text: words, all of which the text or the reason holds.
        path: a part of the path.
        tag: one of the tags.
        sort: listed, path, newest, shortest, longest.
    """

    job: str
    outcome: str = ""
    note: str = ""
    model: str = ""
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


def page(view: JournalView, wanted: Filter, tags: str | None, after: str | None, most: int) -> Page:
    """One page.

    Args:
        wanted: which items, in which order.
        tags: of the data, the property that is a list of tags; None where there is none.
        after: what the page before gave; None: the first.
        most: items of a page.

    Raises:
        ParameterError: ``after`` is none that a page gave.
    """
    most = max(1, min(most, MOST_AT_ONCE))
    key, direction = _SORTS[wanted.sort]
    conditions, values = _conditions(wanted, tags)
    if after is not None:
        compared = "<" if direction else ">"
        conditions.append(f"({key}, r.result) {compared} (?, ?)" if key != "r.result" else "r.result > ?")
        values += _place(after, alone=key == "r.result")
    order = key if key == "r.result" else f"{key} {direction}, r.result {direction}"
    columns = ", ".join(f"r.{name}" for name in COLUMNS.split(", "))
    rows = list(
        view.database.all(
            f"SELECT {columns}, r.result, {key} AS place FROM {_from(view)} "
            f"WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?",
            (view.shape(wanted.job), *values, most + 1),
        )
    )
    more = len(rows) > most
    rows = rows[:most]
    behind = json.dumps([rows[-1]["place"], rows[-1]["result"]]) if more else None
    return Page(rows, behind)


def count(view: JournalView, wanted: Filter, tags: str | None) -> int:
    """How many items a filter has."""
    conditions, values = _conditions(wanted, tags)
    row = view.database.one(
        f"SELECT count(*) AS n FROM {_from(view)} WHERE {' AND '.join(conditions)}",
        (view.shape(wanted.job), *values),
    )
    return 0 if row is None else int(row["n"])


def matching(view: JournalView, wanted: Filter, tags: str | None) -> Iterator[Any]:
    """Every item's source and what stands of its text and data, in the order of the job."""
    conditions, values = _conditions(wanted, tags)
    return view.database.all(
        f"SELECT r.source, coalesce(v.caption, r.caption) AS caption, {_DATA} AS data FROM {_from(view)} "
        f"WHERE {' AND '.join(conditions)} ORDER BY r.result",
        (view.shape(wanted.job), *values),
    )


def facets(view: JournalView, job: str, tags: str | None) -> dict[str, list[tuple[str, int]]]:
    """What a job's items can be filtered by, each with its count, the most frequent first."""
    found = {}
    shape = view.shape(job)
    for name, expression in (
        ("outcome", _OUTCOME),
        ("model", "r.model"),
        ("reviewed", "CASE WHEN v.source IS NULL THEN 'no' ELSE ifnull(v.verdict, 'edited') END"),
    ):
        found[name] = _counted(
            view,
            f"SELECT {expression} AS name, count(*) AS n FROM {_from(view)} WHERE r.job = ? GROUP BY 1",
            (shape, job),
        )
    found["note"] = _counted(
        view,
        "SELECT json_extract(one.value, '$.kind') AS name, count(DISTINCT r.result) AS n "
        "FROM results AS r, json_each(r.notes) AS one "
        "WHERE r.job = ? AND r.notes IS NOT NULL AND json_valid(r.notes) GROUP BY 1",
        (job,),
    )
    found["tag"] = []
    if tags is not None:
        found["tag"] = _counted(
            view,
            f"SELECT one.value AS name, count(*) AS n FROM {_from(view)}, json_each({_DATA}, ?) AS one "
            f"WHERE r.job = ? AND json_valid({_DATA}) AND one.type = 'text' GROUP BY 1",
            (shape, _json_path(tags), job),
        )
    return found


def _counted(view: JournalView, sql: str, values: Sequence[Any]) -> list[tuple[str, int]]:
    rows = view.database.all(f"{sql} ORDER BY n DESC, name LIMIT 300", values)
    return [(str(row["name"]), int(row["n"])) for row in rows if row["name"] is not None]


def _from(view: JournalView) -> str:
    edits = "reviewed" if view.database.has_table("reviewed") else _NONE
    return f"results AS r LEFT JOIN {edits} AS v ON v.source = r.source AND v.shape = ?"


def _conditions(wanted: Filter, tags: str | None) -> tuple[list[str], list[Any]]:
    conditions, values = ["r.job = ?"], [wanted.job]
    if wanted.outcome:
        conditions.append(f"{_OUTCOME} = ?")
        values.append(wanted.outcome)
    if wanted.model:
        conditions.append("r.model = ?")
        values.append(wanted.model)
    if wanted.note:
        conditions.append("r.notes LIKE ? ESCAPE '!'")
        values.append(_within(f'"kind":{json.dumps(wanted.note)}'))
    if wanted.reviewed:
        conditions.append(_REVIEWED[wanted.reviewed])
    for word in wanted.text.split():
        conditions.append(f"{_CAPTION} || ifnull(r.failure, '') || ifnull(r.reason, '') LIKE ? ESCAPE '!'")
        values.append(_within(word))
    if wanted.path:
        conditions.append("r.source LIKE ? ESCAPE '!'")
        values.append(_within(wanted.path))
    if wanted.tag:
        if tags is None:
            conditions.append("0")
        else:
            conditions.append(
                f"json_valid({_DATA}) AND EXISTS (SELECT 1 FROM json_each({_DATA}, ?) WHERE value = ?)"
            )
            values += [_json_path(tags), wanted.tag]
    return conditions, values


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
