"""What a journal tells: lookups by source and by content, totals, a job's results in order and its schema.

Nothing here writes, so a plan or an export may read while a run is under way.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from visionpipe.errors import JournalError
from visionpipe.pipeline.contents import Stat
from visionpipe.pipeline.edits import Review, chosen_review, reviewed, shape_of, standing_reviews
from visionpipe.pipeline.tables import JOURNAL
from visionpipe.results import Failure, ItemResult, Outcome
from visionpipe.stages.keys import is_content, sha256_of
from visionpipe.store.database import Database, damaged, is_text
from visionpipe.values import Adjustment, Money, Note, Usage

COLUMNS = (
    "source, question, job, run, recorded, content, outcome, caption, data, model, local, prompt_tokens, "
    "completion_tokens, cached_tokens, reasoning_tokens, cost, currency, finish_reason, adjustments, notes, "
    "request_id, attempts, failure, retryable, reason, duplicate_of, seconds"
)
_NAMES = COLUMNS.split(", ")
_OF_RESULTS = ", ".join(f"results.{name}" for name in _NAMES)
_WRITTEN = (*_NAMES, "preparation")
INSERT = (
    f"INSERT INTO results ({', '.join(_WRITTEN)}) VALUES ({', '.join('?' * len(_WRITTEN))}) "
    f"ON CONFLICT (source, question) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _WRITTEN if name not in ("source", "question"))
)
"""Takes the values of ``COLUMNS`` and the version of the preparation."""

_OF_ITEMS = ("sources", "results")

PAGE = 256
"""Sources that are looked up at once."""

_MARKS = ", ".join("?" * PAGE)
_SOURCES_PAGE = f"SELECT * FROM sources WHERE source IN ({_MARKS})"
_RESULTS_PAGE = f"SELECT {COLUMNS} FROM results WHERE source IN ({_MARKS})"
_KNOWN_PAGE = f"SELECT count(DISTINCT source) AS n FROM results WHERE source IN ({_MARKS})"

_INTEGERS = ("run", "local", "attempts", "retryable")
_TEXTS = ("source", "question", "job", "outcome")
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = tuple(
    (
        name,
        (int,)
        if name in _INTEGERS
        else (str,)
        if name in _TEXTS
        else (float,)
        if name in ("recorded", "seconds")
        else (int, type(None))
        if name.endswith("_tokens")
        else (str, type(None)),
    )
    for name in _NAMES
)
"""What each column may hold; a damaged file may hold anything anywhere."""


class UnreadableRowError(Exception):
    """A row of a damaged journal makes no sense."""


def storable(text: str | None) -> str | None:
    """``text`` as SQLite can hold it: half a surrogate pair, which UTF-8 lacks, becomes an escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def is_place(value: object) -> bool:
    """Whether a value is one that ``stored_path`` gives; a damaged file may hold anything."""
    return isinstance(value, str | bytes)


def stored_path(path: str) -> str | bytes:
    """A path as SQLite can hold it, exactly: bytes where the name is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def dumped(value: Any) -> str:
    """``value`` as JSON that SQLite can hold, as ``storable``."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # A file's name that is no UTF-8 has such halves; a whole number may have more than 64 bits.
        return json.dumps(_storable_within(value), ensure_ascii=False, separators=(",", ":"))


def _storable_within(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case dict():
            return {_storable_within(key): _storable_within(held) for key, held in value.items()}
        case list() | tuple():
            return [_storable_within(held) for held in value]
    return value


def result_row(
    result: ItemResult, *, question: str, job: str, run: int, recorded: float, content: str | None
) -> tuple[Any, ...]:
    """The values of ``COLUMNS``."""
    usage, failure = result.usage, result.failure
    return (
        result.source,
        question,
        job,
        run,
        recorded,
        content,
        result.outcome.value,
        storable(result.caption),
        None if result.data is None else dumped(result.data),
        result.model,
        int(result.local),
        usage and usage.prompt_tokens,
        usage and usage.completion_tokens,
        usage and usage.cached_tokens,
        usage and usage.reasoning_tokens,
        str(result.cost.amount) if result.cost else None,
        result.cost.currency if result.cost else None,
        result.finish_reason,
        _listed([a.to_json() for a in result.adjustments]),
        _listed([n.to_json() for n in result.notes]),
        result.request_id,
        result.attempts,
        dumped(failure.to_json()) if failure else None,
        int(failure.retryable) if failure else 0,
        result.reason,
        result.duplicate_of,
        result.seconds,
    )


def result_of(row: sqlite3.Row) -> ItemResult:
    """The inverse of ``result_row``.

    Args:
        row: with the columns of ``COLUMNS``, maybe among others.

    Raises:
        UnreadableRowError: the row is damaged.
    """
    return _result_of(tuple(row[name] for name in _NAMES))


_sound_kinds: dict[tuple[type, ...], Callable[[tuple[Any, ...]], tuple[str, ...]]] = {}
"""Kinds of rows that were looked at column by column, and what takes the texts out of one; there are few, and
a million rows."""


def _result_of(values: tuple[Any, ...]) -> ItemResult:
    """The result in the values of ``COLUMNS``."""
    kinds = tuple(map(type, values))
    texts_of = _sound_kinds.get(kinds)
    if texts_of is None:
        for kind, (name, allowed) in zip(kinds, _KINDS, strict=True):
            if kind not in allowed:
                raise UnreadableRowError(name)
        texts_of = _sound_kinds[kinds] = itemgetter(
            *(place for place, kind in enumerate(kinds) if kind is str)
        )
    texts = texts_of(values)
    if not "".join(texts).isascii():
        for text in texts:
            if not is_text(text):
                raise UnreadableRowError(ascii(text))
    try:
        return _built(*values)
    except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
        raise UnreadableRowError(str(error)) from error


def _built(
    source: str,
    question: str,
    job: str,
    run: int,
    recorded: float,
    content: str | None,
    outcome: str,
    caption: str | None,
    data: str | None,
    model: str | None,
    local: int,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    cached_tokens: int | None,
    reasoning_tokens: int | None,
    cost: str | None,
    currency: str | None,
    finish_reason: str | None,
    adjustments: str | None,
    notes: str | None,
    request_id: str | None,
    attempts: int,
    failure: str | None,
    retryable: int,
    reason: str | None,
    duplicate_of: str | None,
    seconds: float,
) -> ItemResult:
    usage = None
    if prompt_tokens is not None:
        usage = Usage(prompt_tokens, completion_tokens or 0, cached_tokens or 0, reasoning_tokens or 0)
    return ItemResult(
        source=source,
        outcome=Outcome(outcome),
        caption=caption,
        data=None if data is None else json.loads(data),
        model=model,
        local=bool(local),
        usage=usage,
        cost=None if cost is None else _money(cost, currency),
        finish_reason=finish_reason,
        adjustments=tuple(Adjustment(**a) for a in orjson.loads(adjustments)) if adjustments else (),
        notes=tuple(Note(**n) for n in orjson.loads(notes)) if notes else (),
        request_id=request_id,
        attempts=attempts,
        failure=Failure(**orjson.loads(failure)) if failure else None,
        reason=reason,
        sha256=sha256_of(content),
        duplicate_of=duplicate_of,
        seconds=seconds,
    )


def kept_good(earlier: ItemResult, failure: Failure) -> ItemResult:
    """An earlier answer that stands although the item was asked about again and failed."""
    note = Note("kept_earlier", f"asked again, and that failed: {failure.reason}")
    return replace(earlier, notes=(*(n for n in earlier.notes if n.kind != note.kind), note))


def money_of(amount: object, currency: object) -> Money | None:
    """An amount as it was recorded; None where there is none, or none that can be read."""
    if not isinstance(amount, str) or not isinstance(currency, str):
        return None
    try:
        return _money(amount, currency)
    except (ValueError, ArithmeticError):
        return None


def _money(amount: str | None, currency: str | None) -> Money | None:
    """Raises ValueError for what is no amount of money."""
    if amount is None:
        return None
    found = Decimal(amount)
    if currency is None or not found.is_finite():
        raise ValueError(f"{amount} {currency} is no amount of money")
    return Money(found, currency)


def _listed(items: list[Any]) -> str | None:
    return dumped(items) if items else None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result as the journal holds it, and the run that put it there."""

    result: ItemResult
    content: str | None
    run: int
    job: str = ""

    @property
    def good(self) -> bool:
        return self.result.outcome is Outcome.DONE


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a journal tells of one source: its rows in ``results`` by question, and its row in ``sources``."""

    view: JournalView
    results: dict[str, sqlite3.Row]
    source: sqlite3.Row | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used up: requests that were or may have been billed, their tokens and money, and 429s."""

    requests: int = 0
    tokens: int = 0
    money: tuple[Money, ...] = ()
    refusals: int = 0


class JournalView:
    """A journal as it stands.

    Attributes:
        unreadable: rows met that are damaged; their items count as never asked about.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.unreadable = 0
        self._reviews = ""
        self._shapes: dict[str, str] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None) -> JournalView:
        """The journal at ``path`` for reading; an empty one where there is none yet.

        Raises:
            JournalError: it is no journal, or cannot be read.
        """
        there = path is not None and Path(path).exists()
        if path is None or not there:
            return cls(Database(None, JOURNAL))
        return cls(Database(Path(path), JOURNAL, read_only=True))

    def known_content(self, source: str, location: str, stat: Stat) -> str | None:
        """The content of a file that has not changed since it was last read; None: it has to be read."""
        row = self.database.one(
            "SELECT location, size, modified_ns, content FROM sources WHERE source = ?", (source,)
        )
        return None if row is None else content_known(row, location, stat)

    def recall(self, sources: Sequence[str]) -> dict[str, Recalled]:
        """What is known of up to ``PAGE`` sources; of those that nothing is known of, too."""
        names = [name for name in sources if is_text(name)]
        found = {name: Recalled(self, {}) for name in names}
        wanted = [*names, *[None] * (PAGE - len(names))]
        # What a damaged row holds in place of a name was not asked for.
        for row in self.database.all(_SOURCES_PAGE, wanted, PAGE):
            if row["source"] in found:
                found[row["source"]] = Recalled(self, {}, row)
        for row in self.database.all(_RESULTS_PAGE, wanted, PAGE):
            if row["source"] in found:
                found[row["source"]].results[row["question"]] = row
        return found

    def known_count(self, sources: Sequence[str]) -> int:
        """Of how many among up to ``PAGE`` sources something is recorded."""
        names = [name for name in sources if is_text(name)]
        row = self.database.one(_KNOWN_PAGE, [*names, *[None] * (PAGE - len(names))])
        return 0 if row is None else int(row["n"])

    @property
    def was_empty(self) -> bool:
        """Whether nothing was recorded when it was opened."""
        return all(self.database.one(f"SELECT 1 FROM {table} LIMIT 1") is None for table in _OF_ITEMS)

    def was_touched(self, source: str) -> bool:
        """Whether ``source`` may have been recorded since ``recall``."""
        return False

    def location(self, source: str) -> str | None:
        """From where ``source`` was read last: a path as it was given, or below a folder as that was given;
        None where it never was."""
        row = self.database.one("SELECT location FROM sources WHERE source = ?", (storable(source),))
        return None if row is None or not is_place(row["location"]) else os.fsdecode(row["location"])

    def locations(self) -> Iterator[tuple[str, str]]:
        """Every file that was ever read, as (source, location)."""
        for row in self.database.all("SELECT source, location FROM sources"):
            if isinstance(row["source"], str) and is_place(row["location"]):
                yield row["source"], os.fsdecode(row["location"])

    def recorded(self, source: str, question: str, content: str | None = None) -> Recorded | None:
        """What became of ``source`` when it was last asked ``question``; None where that cannot be read.
        A journal keeps one version of an item, whatever ``content`` says."""
        return self.recorded_in(
            self.database.one(
                f"SELECT {COLUMNS} FROM results WHERE source = ? AND question = ?", (source, question)
            )
        )

    def recorded_in(self, row: sqlite3.Row | None) -> Recorded | None:
        """What a row of ``results`` tells; None where there is none, or none that can be read."""
        result = self._result(row)
        if row is None or result is None:
            return None
        return Recorded(result, row["content"], row["run"], row["job"])

    def shared(self, content: str, question: str, since_run: int = 0) -> ItemResult | None:
        """A final end that these bytes came to under any name: an answer, or a failure that would repeat."""
        row = self.database.one(
            f"SELECT {COLUMNS} FROM results WHERE content = ? AND question = ? AND retryable = 0 "
            "AND run >= ? AND outcome IN ('done', 'failed') "
            "ORDER BY outcome, duplicate_of IS NOT NULL LIMIT 1",
            (content, question, since_run),
        )
        result = self._result(row, count=False)
        return None if result is not None and result.failure and result.failure.by_a_limit else result

    def spent(self, *, job: str | None = None, run: int | None = None) -> Spent:
        """What a job has used in all its runs, or one run."""
        requests, tokens, refusals, sums = 0, 0, 0, dict[str, Decimal]()
        # Of a damaged row so much counts: that it was a request. Equal amounts are added up here, since SQL
        # has no decimal numbers; the tokens there, in two halves, since their sum may have more than 64 bits.
        for row in self.database.all(
            "SELECT cost, currency, count(*) AS n, sum(billable IS NOT 0) AS billed, "
            "sum(refused IS 1) AS refused, sum(tokens >> 32) FILTER (WHERE counts) AS high, "
            "sum(tokens & 4294967295) FILTER (WHERE counts) AS low FROM (SELECT *, billable IS NOT 0 AND "
            "typeof(tokens) = 'integer' AS counts FROM attempts WHERE job = ifnull(?, job) "
            "AND run = ifnull(?, run)) GROUP BY cost, currency, billable IS NOT 0",
            (job, run),
        ):
            refusals += row["refused"]
            requests += row["billed"]
            tokens += ((row["high"] or 0) << 32) + (row["low"] or 0)
            money = money_of(row["cost"], row["currency"]) if row["billed"] else None
            if money is not None:
                sums[money.currency] = sums.get(money.currency, Decimal(0)) + money.amount * row["n"]
        spent = tuple(Money(amount, name) for name, amount in sorted(sums.items()))
        return Spent(requests, tokens, spent, refusals)

    def jobs(self) -> Iterator[tuple[str, str, str, dict[str, int]]]:
        """Each job, the one run last at the end: its key, model, prompt, and its items by outcome."""
        for row in self.database.all("SELECT job, model, template FROM jobs ORDER BY last_run", ()):
            counts = {
                found["outcome"]: found["n"]
                for found in self.database.all(
                    "SELECT outcome, count(*) AS n FROM results WHERE job = ? GROUP BY outcome", (row["job"],)
                )
            }
            yield row["job"], row["model"], row["template"], counts

    def recorded_count(self, job: str) -> int:
        """How many items of a job have come to an end."""
        row = self.database.one("SELECT count(*) AS n FROM results WHERE job = ?", (job,))
        return 0 if row is None else row["n"]

    def mean_seconds(self) -> float | None:
        """Mean seconds from sending to answer over all answers so far; None before the first."""
        row = self.database.one("SELECT avg(seconds) AS mean FROM attempts WHERE failed_with IS NULL")
        return None if row is None else row["mean"]

    def results(self, job: str | None = None) -> Iterator[ItemResult]:
        """Every result of a job in the order in which its sources first came to an end; flat memory.

        Rows that cannot be read are left out, and counted in ``unreadable``.

        Args:
            job: a recipe's key; default the one run last.
        """
        job = self.last_job() if job is None else job
        rows = self.database.all(f"SELECT {COLUMNS} FROM results WHERE job = ? ORDER BY result", (job,))
        reviewed = False
        for number, row in enumerate(rows):
            if number % PAGE == 0:  # to ask for each row would cost as much as to read it
                reviewed = self.is_reviewed
            result = self._result(row)
            if result is not None:
                result = self._unfailed(result, job)
                yield self.as_reviewed(result, job) if reviewed else result

    def answers_of(self, job: str | None = None) -> Callable[[str], ItemResult | None]:
        """What gives, as outputs show it, an item's result by its name; None where it was never asked about.

        Args:
            job: a recipe's key; default the one run last.
        """
        job = self.last_job() if job is None else job

        def answer(source: str) -> ItemResult | None:
            result = self._result(
                self.database.one(
                    f"SELECT {COLUMNS} FROM results WHERE source = ? AND job = ? ORDER BY recorded DESC",
                    (storable(source), job),
                )
            )
            return None if result is None else self.shown(result, job)

        return answer

    def holds_any(self, beginnings: Sequence[str]) -> bool:
        """Whether anything is recorded about an item whose name begins with one of these."""
        sql = "SELECT 1 FROM results WHERE substr(source, 1, ?) = ? LIMIT 1"
        return any(self.database.one(sql, (len(each), storable(each))) is not None for each in beginnings)

    def shown(self, result: ItemResult, job: str | None = None) -> ItemResult:
        """What outputs show for ``result``: what a person made of it, else itself, or for a failure the good
        answer about the same bytes that an earlier run had, maybe to another prompt or from another model.

        Args:
            result: an item's end.
            job: the recipe's key; default the one run last. Only answers of its kind (text, or data of the
                same schema) take a failure's place.
        """
        job = self.last_job() if job is None else job
        return self.as_reviewed(self._unfailed(result, job), job)

    @property
    def reviews(self) -> str:
        """The table of what people made of the answers, as SQL; see ``standing_reviews``."""
        if self._reviews != "reviews":  # it may be made while this is open
            self._reviews = standing_reviews(self.database)
        return self._reviews

    @property
    def is_reviewed(self) -> bool:
        """Whether a person has changed or judged anything in this journal."""
        return self.database.one(f"SELECT 1 FROM {self.reviews} LIMIT 1") is not None

    def review(self, result: ItemResult, job: str, content: str | None = None) -> Review | None:
        """What a person made of the answers about an item; None where nobody has looked at them.

        Args:
            result: its end.
            job: a recipe's key. What was written stands for every job whose answers are of the same kind
                (text, or data of the same schema), so that no later prompt or model takes its place.
            content: the key of its picture; None: as it was last recorded.
        """
        if not self.is_reviewed:
            return None
        content = content or result.sha256
        if content is None:  # of a link, or of an object known by its version, the journal has another key
            row = self.database.one(
                "SELECT content FROM results WHERE source = ? AND job = ? ORDER BY recorded DESC LIMIT 1",
                (storable(result.source), job),
            )
            content = None if row is None else row["content"]
        return self.review_in(result.source, job, content)

    def review_in(self, source: str, job: str, content: str | None) -> Review | None:
        """As ``review``, of an item whose picture has that content key; None: it was never read."""
        rows = self.database.all(
            f"SELECT * FROM {self.reviews} WHERE source = ? AND shape = ? ORDER BY at DESC",
            (storable(source), self.shape(job)),
        )
        return chosen_review(rows, content if is_content(content) else None)

    def shape(self, job: str) -> str:
        """The kind of a job's answers, as edits note it."""
        if job not in self._shapes:
            row = self.database.one("SELECT schema FROM jobs WHERE job = ?", (job,))
            self._shapes[job] = shape_of(None if row is None else row["schema"])
        return self._shapes[job]

    def as_reviewed(self, result: ItemResult, job: str, content: str | None = None) -> ItemResult:
        """``result``, which an item of ``job`` came to, as a person left it; see ``review``."""
        review = self.review(result, job, content)
        return result if review is None else reviewed(result, review)

    def _unfailed(self, result: ItemResult, job: str) -> ItemResult:
        if result.outcome is not Outcome.FAILED or result.failure is None:
            return result
        row = self.database.one(
            f"SELECT {_OF_RESULTS} FROM results JOIN jobs USING (job) WHERE source = ? AND outcome = 'done' "
            "AND content IS ifnull(?, content) AND jobs.schema IS (SELECT schema FROM jobs WHERE job = ?) "
            "ORDER BY recorded DESC LIMIT 1",
            (result.source, result.sha256, job),
        )
        earlier = self._result(row, count=False)
        return result if earlier is None else kept_good(earlier, result.failure)

    def answers(self, source: str) -> Iterator[ItemResult]:
        """Every answer that ``source`` ever got, the newest first."""
        for row in self.database.all(
            f"SELECT {COLUMNS} FROM results WHERE source = ? AND outcome = 'done' ORDER BY recorded DESC",
            (storable(source),),
        ):
            result = self._result(row, count=False)
            if result is not None:
                yield result

    def output(
        self, job: str, earlier: Sequence[str] | None = (), *, complete: bool = True
    ) -> Iterator[ItemResult]:
        """What an output of ``job`` holds: its results, and, while it has not come to its end, the earlier
        answers of the items that it has not come to.

        Args:
            job: a recipe's key.
            earlier: the jobs whose results were written to the output before; None: any of the journal.
            complete: whether the job has come to its end.
        """
        yield from self.results(job)
        if complete:
            return
        among, jobs = _among(earlier)
        for row in self.database.all(
            f"SELECT {COLUMNS} FROM results AS old WHERE outcome = 'done' AND job <> ? AND {among} AND NOT "
            "EXISTS (SELECT 1 FROM results AS new WHERE new.source = old.source AND new.job = ?) "
            "GROUP BY source HAVING recorded = max(recorded) ORDER BY result",
            (job, *jobs, job),
        ):
            result = self._result(row)
            if result is not None:
                yield self.as_reviewed(result, row["job"])

    def template(self, job: str) -> str | None:
        """The prompt of a job before an item's fields are put in; None where the job is not known."""
        row = self.database.one("SELECT template FROM jobs WHERE job = ?", (job,))
        return None if row is None else str(row["template"])

    def schema(self, job: str | None = None) -> dict[str, Any] | None:
        """The JSON Schema of a job's structured data; None where it asks for plain text.

        Args:
            job: a recipe's key; default the one run last.

        Raises:
            JournalError: it is damaged.
        """
        job = self.last_job() if job is None else job
        row = self.database.one("SELECT schema FROM jobs WHERE job = ?", (job,))
        if row is None or row["schema"] is None:
            return None
        try:
            schema: dict[str, Any] = json.loads(row["schema"])
        except (ValueError, TypeError) as error:
            raise damaged(JOURNAL, f"job {job}", f"the schema of its answers is no JSON: {error}") from error
        return schema

    def _result(self, row: sqlite3.Row | None, *, count: bool = True) -> ItemResult | None:
        if row is None:
            return None
        try:
            return _result_of(tuple(row))
        except UnreadableRowError:
            self.unreadable += count
            return None

    def last_job(self) -> str:
        """The key of the job that was run last; empty where none was."""
        last = self.database.one("SELECT job FROM runs ORDER BY run DESC LIMIT 1")
        return str(last["job"]) if last is not None else ""

    def close(self) -> None:
        self.database.close()


def _among(jobs: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """A condition on ``job``, and its values."""
    if jobs is None:
        return "1", ()
    return f"job IN ({', '.join('?' * len(jobs))})", jobs


def content_known(row: sqlite3.Row, location: str, stat: Stat) -> str | None:
    """The content in a row of ``sources``, where the file is still the one that was read."""
    same = row["location"] == stored_path(location)
    if not same or row["size"] != stat.size or row["modified_ns"] != stat.modified_ns:
        return None
    return row["content"] if is_content(row["content"]) else None


def recorded_results(
    path: str | os.PathLike[str],
    *,
    job: str | None = None,
    on_unreadable: Callable[[int], object] | None = None,
) -> Iterator[ItemResult]:
    """Every result in the journal at ``path``: what outputs are rebuilt from, also while a run is writing.

    Args:
        path: the journal.
        job: which recipe's results; default the one run last.
        on_unreadable: told at the end how many rows could not be read and are left out, where there are any.

    Raises:
        JournalError: there is none, it is no journal, or it cannot be read.
    """
    view = _view(path)
    try:
        yield from view.results(job)
        if view.unreadable and on_unreadable is not None:
            on_unreadable(view.unreadable)
    finally:
        view.close()


def recorded_output(
    path: str | os.PathLike[str],
    *,
    job: str | None = None,
    earlier: Sequence[str] | None = (),
    complete: bool = True,
    on_unreadable: Callable[[int], object] | None = None,
) -> Iterator[ItemResult]:
    """As ``recorded_results``, with the good answers that an output had before where asking again failed.

    Args:
        path: the journal.
        job: which recipe's results; default the one run last.
        earlier, complete: as for ``JournalView.output``.
        on_unreadable: as for ``recorded_results``.

    Raises:
        JournalError: there is none, it is no journal, or it cannot be read.
    """
    view = _view(path)
    try:
        yield from view.output(view.last_job() if job is None else job, earlier, complete=complete)
        if view.unreadable and on_unreadable is not None:
            on_unreadable(view.unreadable)
    finally:
        view.close()


def recorded_schema(path: str | os.PathLike[str], *, job: str | None = None) -> dict[str, Any] | None:
    """The JSON Schema of the structured data in the journal at ``path``; None where there is plain text.

    Args:
        path: the journal.
        job: which recipe's; default the one run last.

    Raises:
        JournalError: there is none, it is no journal, or it cannot be read.
    """
    view = _view(path)
    try:
        return view.schema(job)
    finally:
        view.close()


def _view(path: str | os.PathLike[str]) -> JournalView:
    if not Path(path).exists():
        raise JournalError(
            "there is no such journal",
            cure="Give the .journal file beside a job's first output.",
            subject=str(path),
            code="missing",
        )
    return JournalView(Database(Path(path), JOURNAL, read_only=True))


def is_readable(table: str, row: sqlite3.Row) -> bool:
    """Whether a row of a journal's table makes sense; asked when a journal is checked or repaired."""
    if table == "sources":
        return is_content(row["content"])
    if table != "results":
        return True
    try:
        result_of(row)
    except UnreadableRowError:
        return False
    return True
