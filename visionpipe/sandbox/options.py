"""How one sandbox is set up. Frozen: what may change while it runs (limits, scenario) lives elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from visionpipe.sandbox.scenario import Scenario

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
    models: tuple[str, ...] = ()
    max_body_bytes: int = 384 * 1024 * 1024
    task_polls: int = 1
    task_seconds: float = 0.0
    async_agents: tuple[str, ...] = ("async_agent",)
    scenario: Scenario = field(default_factory=Scenario)
    state: Path | None = None
    log: Path | None = None
    overlay: Path | None = None
