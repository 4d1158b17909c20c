"""What is tried again, when, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tenacity import stop_after_attempt, stop_after_delay, wait_fixed

from visionpipe import errors
from visionpipe.stages.retry import RetryPolicy

POLICY = RetryPolicy(wait=wait_fixed(2), stop=stop_after_attempt(3) | stop_after_delay(60))
LIMIT = errors.RateLimitError("too many", cure="Wait.")
FAILED = errors.ServerError("it failed", cure="Try again.")
BROKEN = errors.InterruptedAnswerError("it broke off", cure="Try again.")
LATE = errors.ReplyTimeoutError("it is late", cure="Ask again.")


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (FAILED, 2),
        (LIMIT, 2),
        (errors.RateLimitError("too many", cure="Wait.", retry_after=7.0), 7),
        (errors.RateLimitError("too many", cure="Wait.", retry_after=301.0), None),
        (BROKEN, None),
        (LATE, None),
        (errors.AuthenticationError("the key was refused", cure="Check it."), None),
        (errors.RejectedRequestError("no", cure="Change it."), None),
        (errors.BadImageError("it is broken", cure="Mend it."), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_may_help_is_tried_again(error: errors.VisionPipeError, wait: float | None) -> None:
    assert POLICY.next_wait(error, attempt=1, elapsed_s=1.0) == wait


def test_a_broken_answer_is_asked_for_again_where_it_costs_nothing_or_may_cost_twice() -> None:
    assert POLICY.next_wait(BROKEN, attempt=1, elapsed_s=1.0, billable=False) == 2
    willing = replace(POLICY, broken_answers=True)
    assert willing.next_wait(BROKEN, attempt=1, elapsed_s=1.0) == 2


def test_attempts_and_seconds_come_to_an_end() -> None:
    assert POLICY.next_wait(FAILED, attempt=2, elapsed_s=59.0) == 2
    assert POLICY.next_wait(FAILED, attempt=3, elapsed_s=1.0) is None
    assert POLICY.next_wait(FAILED, attempt=1, elapsed_s=61.0) is None


def test_limits_may_be_left_to_others_and_timeouts_sent_again() -> None:
    policy = RetryPolicy(wait=wait_fixed(2), stop=stop_after_attempt(3), rate_limits=False, timeouts=True)
    assert policy.next_wait(LIMIT, attempt=1, elapsed_s=0.0) is None
    assert policy.next_wait(LATE, attempt=1, elapsed_s=0.0) == 2
