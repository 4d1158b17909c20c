"""The scenario: faults and scripted answers, as a TOML or JSON document.

    seed = 7                         # the same seed and order of requests meet the same faults

    [[answer]]                       # for answers = "script"; used in turn
    text = "A cat on a sofa."
    contains = "cat"                 # only where the prompt holds this
    sha256 = "9f86d0"                # only where an image's hash begins so
    reasoning = "Whiskers."

    [[answer]]                       # asks for functions
    calls = [{ name = "weather", arguments = '{"city": "Oslo"}' }]

    [[rule]]
    path = "*/chat/completions"      # which requests: by path (*: any text), model (*), streamed or not
    model = "glm-4.6v*"
    after = 2                        # leave the first two alone,
    count = 3                        # then three times at most,
    every = 2                        # at every second request,
    rate = 0.1                       # with this chance,
    burst = 4                        # and once it has come, four in a row
    fault = { kind = "error", code = "1302", retry_after = "2" }

Several rules may fit one request: latencies add up; of the others the first counts. The kinds of fault:

    error        code, status, message, retry_after, shape (vllm, ollama, openrouter)
    latency      seconds; or low and high (uniform); or median and sigma (log-normal); or mean (exponential)
    reset        when = request (unread), first_byte, body (in the middle), frame (in the middle of one)
    stream       form = endless, stall, no_done, no_blank_lines, cut; every (seconds between endless frames)
    body         form = invalid_json, html (status), empty_choices, error_frame (code), oversized (bytes),
                 no_usage
    finish       reason = sensitive, network_error, length, ...; text (default: empty)
    markup       form = box, think, answer, parts
    slow_reader  bytes_per_second at which the request is read
    slow_writer  bytes_per_second at which the answer is written
    hold         the request waits, in flight, until released
    task         an asynchronous task or agent ends as failed
    shape        form = vllm, ollama, openrouter: OpenAI's documents as that server writes them

An unknown key or a wrong kind is an error when the document is read, never ignored.

When a fault comes: each rule counts the requests that match it and draws from its own seeded source, so that
the n-th matching request meets the same fault in every run with the same scenario, whatever the clock says;
only the order of arrival can change it.
"""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import log
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.replies import Form

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=86_400)]
Pace: TypeAlias = Annotated[float, Field(gt=0)]


class Entry(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorFault(Entry):
    kind: Literal["error"]
    code: str
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str | None = None
    retry_after: str | None = None
    shape: Form | None = None


class LatencyFault(Entry):
    kind: Literal["latency"]
    seconds: Seconds | None = None
    low: Seconds | None = None
    high: Seconds | None = None
    median: Pace | None = None
    sigma: Annotated[float, Field(ge=0)] = 0.5
    mean: Pace | None = None

    @model_validator(mode="after")
    def one_distribution(self) -> LatencyFault:
        uniform = self.low is not None and self.high is not None
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high come together")
        if sum((self.seconds is not None, uniform, self.median is not None, self.mean is not None)) != 1:
            raise ValueError("give seconds, or low and high, or median, or mean")
        return self


class ResetFault(Entry):
    kind: Literal["reset"]
    when: Literal["request", "first_byte", "body", "frame"] = "first_byte"


class StreamFault(Entry):
    kind: Literal["stream"]
    form: Literal["endless", "stall", "no_done", "no_blank_lines", "cut"]
    every: Annotated[float, Field(gt=0)] = 0.05


class BodyFault(Entry):
    kind: Literal["body"]
    form: Literal["invalid_json", "html", "empty_choices", "error_frame", "oversized", "no_usage"]
    status: Annotated[int, Field(ge=200, le=599)] = 502
    code: str = "1234"
    bytes: Annotated[int, Field(gt=0)] = 64 * 1024 * 1024


class FinishFault(Entry):
    kind: Literal["finish"]
    reason: str
    text: str = ""


class MarkupFault(Entry):
    kind: Literal["markup"]
    form: Literal["box", "think", "answer", "parts"]


class SlowReaderFault(Entry):
    kind: Literal["slow_reader"]
    bytes_per_second: Pace


class SlowWriterFault(Entry):
    kind: Literal["slow_writer"]
    bytes_per_second: Pace


class HoldFault(Entry):
    kind: Literal["hold"]


class TaskFault(Entry):
    kind: Literal["task"]


class ShapeFault(Entry):
    kind: Literal["shape"]
    form: Form


Fault: TypeAlias = Annotated[
    ErrorFault
    | LatencyFault
    | ResetFault
    | StreamFault
    | BodyFault
    | FinishFault
    | MarkupFault
    | SlowReaderFault
    | SlowWriterFault
    | HoldFault
    | TaskFault
    | ShapeFault,
    Field(discriminator="kind"),
]


class FaultRule(Entry):
    """When a fault comes; see the module's docstring."""

    fault: Fault
    path: str = "*"
    model: str | None = None
    stream: bool | None = None
    rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    after: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(gt=0)] | None = None
    every: Annotated[int, Field(gt=0)] = 1
    burst: Annotated[int, Field(gt=0)] = 1

    @property
    def early(self) -> bool:
        """Whether it comes before the body is read, when only the path is known."""
        fault = self.fault
        return isinstance(fault, SlowReaderFault) or (
            isinstance(fault, ResetFault) and fault.when == "request"
        )

    @model_validator(mode="after")
    def early_rules_know_the_path_only(self) -> FaultRule:
        if self.early and (self.model is not None or self.stream is not None):
            raise ValueError("this fault comes before the body is read: it can go by path only")
        return self


class ScriptedCall(Entry):
    """A function to ask for; ``arguments`` are sent as they stand, whether JSON or not."""

    name: str
    arguments: str = "{}"


class ScriptedAnswer(Entry):
    """One text to answer with, or functions to ask for."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    contains: str | None = None
    sha256: str | None = None


class Scenario(Entry):
    """The whole document."""

    seed: int = 0
    answer: tuple[ScriptedAnswer, ...] = ()
    rule: tuple[FaultRule, ...] = ()


def parse_scenario(text: str | bytes, *, name: str = "scenario") -> Scenario:
    """Read a scenario from TOML or JSON text (JSON where it begins with a brace).

    Raises:
        ConfigurationError: the text is neither, or holds a key or value that a scenario does not know.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        document = orjson.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        return Scenario.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the document"
        reason = f"{place}: {first['msg']}"
    except (tomllib.TOMLDecodeError, orjson.JSONDecodeError) as error:
        reason = str(error)
    raise ConfigurationError(
        f"the scenario cannot be used: {reason}",
        subject=name,
        cure="See the kinds of fault and their keys in visionpipe/sandbox/scenario.py.",
    )


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; ConfigurationError where it cannot be read or used."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the scenario cannot be read: {error.strerror}", subject=str(path), cure="Check the path."
        ) from error
    return parse_scenario(text, name=str(path))


@dataclass(slots=True)
class _Counter:
    """How often one rule has matched, and come."""

    source: random.Random
    matched: int = 0
    met: int = 0
    burst_left: int = 0


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """What one request meets: at most one fault, and a delay in seconds before it or the answer."""

    fault: Fault | None = None
    delay: float = 0.0

    @property
    def kind(self) -> str | None:
        """The fault's kind and form, for the log."""
        fault = self.fault
        if fault is None:
            return "latency" if self.delay else None
        form = getattr(fault, "form", None) or getattr(fault, "when", None) or getattr(fault, "code", None)
        return f"{fault.kind}:{form}" if form else fault.kind


@dataclass(slots=True)
class FaultPlan:
    """A scenario at work."""

    scenario: Scenario = field(default_factory=Scenario)
    _counters: list[_Counter] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._counters = [
            _Counter(random.Random(f"{self.scenario.seed}/{place}"))  # a rule draws apart from the others
            for place in range(len(self.scenario.rule))
        ]

    def early(self, path: str) -> PlannedFault:
        """What comes before the body is read."""
        return self._draw(path, None, None, early=True)

    def next(self, path: str, model: str | None, stream: bool | None) -> PlannedFault:
        """The fault of a request that is read and found in order."""
        return self._draw(path, model, stream, early=False)

    def _draw(self, path: str, model: str | None, stream: bool | None, *, early: bool) -> PlannedFault:
        fault: Fault | None = None
        delay = 0.0
        for rule, counter in zip(self.scenario.rule, self._counters, strict=True):
            if rule.early is not early or not _matches(rule, path, model, stream):
                continue
            if not _due(rule, counter):
                continue
            if isinstance(rule.fault, LatencyFault):
                delay += _latency(rule.fault, counter.source)
            elif fault is None:
                fault = rule.fault
        return PlannedFault(fault, delay)


def _matches(rule: FaultRule, path: str, model: str | None, stream: bool | None) -> bool:
    if not fnmatchcase(path, rule.path):
        return False
    if rule.model is not None and (model is None or not fnmatchcase(model, rule.model)):
        return False
    return rule.stream is None or rule.stream is bool(stream)


def _due(rule: FaultRule, counter: _Counter) -> bool:
    counter.matched += 1
    if rule.count is not None and counter.met >= rule.count:
        return False
    if counter.burst_left:
        counter.burst_left -= 1
    else:
        place = counter.matched - rule.after - 1
        if place < 0 or place % rule.every or counter.source.random() >= rule.rate:
            return False
        counter.burst_left = rule.burst - 1
    counter.met += 1
    return True


def _latency(fault: LatencyFault, source: random.Random) -> float:
    if fault.seconds is not None:
        return fault.seconds
    if fault.low is not None and fault.high is not None:
        return source.uniform(fault.low, fault.high)
    if fault.median is not None:
        return source.lognormvariate(log(fault.median), fault.sigma)
    assert fault.mean is not None  # the scenario allows no other case
    return source.expovariate(1 / fault.mean)


DEFAULT_KEY = "visionpipe-sandbox.published-for-tests-and-not-a-secret"
"""Accepted unless other keys are given; in the service's form ``id.secret``, long enough for a JWT. The
vendor's own MCP server takes no key that holds "key" or "api"."""

AnswerMode: TypeAlias = Literal["engine", "saw", "saw_json", "script"]


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a sandbox.

    Attributes:
        keys: accepted keys, each ``id.secret``; a JWT must be signed with one of the secrets.
        answers: who answers. "engine": the embedded engine looks at the images, and a JSON Schema that a
            prompt ends with is followed. "saw": a sentence that
            names type, width, height and sha256 of everything that arrived; "saw_json": the same as JSON.
            "script": the scenario's texts, in order.
        lenient: also take data URIs, base64 videos and keys outside the schema (``detail``), which the
            documentation does not promise and some hosts have been seen to take.
        url_only: refuse base64 for models whose own page does, against the platform's FAQ.
        decode: decode every image's pixels, not only its header.
        fetch_links: fetch linked images and videos, from loopback and private addresses too, and check them
            as if they had come inline; off, a link is taken on trust.
        per_model: most requests in flight per key and model; None: no limit.
        total: most requests in flight in all; None: no limit.
        serves: of those in flight so many are answered at once, and the rest waits; None: all.
        models: further model ids that exist here, on the registry's soft limits.
        max_body_bytes: a larger request body is refused unread. The service's own limit is not documented;
            the default holds fifty images of 5 MiB as base64.
        task_polls: how often an asynchronous task, batch or tuning job is asked for before it goes one step
            on; 0: it is through at once.
        task_seconds: if above 0, they go on by the clock instead, one step after so many seconds.
        async_agents: ids of agents that answer asynchronously, with an ``async_id``.
        scenario: faults and scripted answers at the start.
        state: SQLite file for files, batches, tasks and jobs; None keeps them in memory.
        log: JSONL file that every request is appended to.
        overlay: registry overlay file.
    """

    keys: tuple[str, ...] = (DEFAULT_KEY,)
    answers: AnswerMode = "engine"
    lenient: bool = False
    url_only: bool = False
    decode: bool = False
    fetch_links: bool = False
    per_model: int | None = None
    total: int | None = None
    serves: int | None = None
    models: tuple[str, ...] = ()
    max_body_bytes: int = 384 * 1024 * 1024
    task_polls: int = 1
    task_seconds: float = 0.0
    async_agents: tuple[str, ...] = ("async_agent",)
    scenario: Scenario = field(default_factory=Scenario)
    state: Path | None = None
    log: Path | None = None
    overlay: Path | None = None
