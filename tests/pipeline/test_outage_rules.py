"""What tells a service out of reach from items that fail: the rules alone."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.answering import broken, refused
from tests.pipeline.test_outage import Clock, dead, not_for_us
from visionpipe.errors import (
    BadImageError,
    ContentPolicyError,
    EmptyAnswerError,
    FilteredAnswerError,
    InterruptedAnswerError,
    RateLimitError,
    ReplyTimeoutError,
    ServerError,
    UnreadableAnswerError,
    VisionPipeError,
)
from visionpipe.pipeline.events import ServiceBack, ServiceLost
from visionpipe.pipeline.outage import HOPELESS_AFTER, OUT_OF_REACH_AFTER, Outage, Verdict

Kind = Literal["unreached", "failing", "content", "neutral"]
ERRORS: dict[Kind, list[VisionPipeError]] = {
    "unreached": [dead(), broken()],
    "failing": [
        refused(),
        not_for_us(),
        ServerError("no", cure="-", retryable=False),
        ReplyTimeoutError("late", cure="-"),
        EmptyAnswerError("empty", cure="-"),
        InterruptedAnswerError("cut", cure="-"),
    ],
    "content": [
        ContentPolicyError("no", cure="-"),
        FilteredAnswerError("no", cure="-"),
        UnreadableAnswerError("another shape", cure="-", code="schema"),
    ],
    "neutral": [RateLimitError("wait", cure="-"), BadImageError("gone", cure="-")],
}
STEPS = st.one_of(
    st.just("answered"),
    st.tuples(
        st.integers(0, 30),
        st.sampled_from(["unreached"] * 6 + ["failing"] * 6 + ["content", "neutral"]),
        st.integers(0, 5),
        st.sampled_from([0.0, 0.0, 1.0, 40.0]),
        st.sampled_from([0.0, 0.0, 30.0]),
    ),
)


@given(st.lists(STEPS, max_size=120), st.sampled_from([None, 60.0]), st.booleans())
def test_the_rules_by_the_whole_history(steps: list[Any], longest: float | None, begun: bool) -> None:
    clock, told = Clock(), list[ServiceLost | ServiceBack]()
    outage = Outage(longest, told.append, clock)
    # The model keeps everything since the last answer, and counts anew each time.
    row: list[tuple[str, Kind, float]] = []
    ever, lost, back_at = begun, 0, float("-inf")
    if begun:
        outage.answered()

    def distinct(*kinds: Kind) -> list[float]:
        """When each new item of these kinds came."""
        first: dict[str, float] = {}
        for source, kind, at in row:
            if kind in kinds:
                first.setdefault(source, at)
        return list(first.values())

    for step in steps:
        if step == "answered":
            outage.answered()
            back_at = clock.now if ever and len(distinct("unreached")) >= OUT_OF_REACH_AFTER else back_at
            ever, row = True, []
            continue
        number, kind, which, passing, under_way = step
        clock.now += passing
        sent_at = clock.now - under_way
        verdict = outage.failed(str(number), ERRORS[kind][which % len(ERRORS[kind])], sent_at)
        in_outage = len(distinct("unreached")) >= OUT_OF_REACH_AFTER
        if kind == "unreached" and ever and not in_outage and sent_at < back_at:
            assert verdict is Verdict.WAIT
            continue
        row.append((str(number), kind, clock.now))
        unreached, failing = distinct("unreached"), distinct("unreached", "failing")
        expected = Verdict.OWN
        if kind == "content":
            back_at = clock.now if ever and in_outage else back_at
            ever, row = True, []
        elif kind != "neutral" and not ever:
            if len(unreached) >= OUT_OF_REACH_AFTER or len(failing) >= HOPELESS_AFTER:
                expected = Verdict.STOP
        elif kind == "unreached" and len(unreached) >= OUT_OF_REACH_AFTER:
            since = unreached[OUT_OF_REACH_AFTER - 1]
            expected = Verdict.WAIT
            if longest is not None and clock.now - since >= longest:
                expected = Verdict.STOP
            if (
                len(unreached) == OUT_OF_REACH_AFTER
                and [s for s, k, _ in row if k == "unreached"].count(str(number)) == 1
            ):
                lost += 1
        assert verdict is expected
    # Each outage is told once, and so is its end.
    assert sum(isinstance(event, ServiceLost) for event in told) == lost
    assert [type(event) for event in told] == ([ServiceLost, ServiceBack] * len(told))[: len(told)]
