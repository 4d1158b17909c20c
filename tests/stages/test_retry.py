"""What is tried again, when, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from visionpipe import errors
from visionpipe.stages.retry import Attempts, RetryPolicy, new_request_id

POLICY = RetryPolicy(attempts=3, seconds=60, first_wait=2, longest_wait=2, jitter=0)
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
        (errors.RateLimitError("too many", cure="Wait.", retry_after=60.0), 60),
        (errors.RateLimitError("too many", cure="Wait.", retry_after=300.0), 300),
        (errors.RateLimitError("too many", cure="Wait.", retry_after=300.5), None),
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
    policy = RetryPolicy(attempts=3, first_wait=2, longest_wait=2, jitter=0, rate_limits=False, timeouts=True)
    assert policy.next_wait(LIMIT, attempt=1, elapsed_s=0.0) is None
    assert policy.next_wait(LATE, attempt=1, elapsed_s=0.0) == 2


def test_the_default_ends_by_tries_and_by_time_whichever_comes_first() -> None:
    policy = RetryPolicy()
    error = errors.ServerError("down", cure="Wait.")
    assert policy.next_wait(error, attempt=5, elapsed_s=299.0) is not None
    assert policy.next_wait(error, attempt=6, elapsed_s=1.0) is None
    assert policy.next_wait(error, attempt=1, elapsed_s=300.0) is None


def test_no_try_begins_beyond_the_time_it_must_begin_within() -> None:
    policy = RetryPolicy(first_wait=4, longest_wait=4, jitter=0, begin_within=10)
    error = errors.ServerError("down", cure="Wait.")
    assert policy.next_wait(error, attempt=1, elapsed_s=5.9) == 4
    assert policy.next_wait(error, attempt=1, elapsed_s=6.0) is None


@pytest.mark.parametrize(
    "name", ["attempts", "seconds", "first_wait", "longest_wait", "jitter", "begin_within"]
)
def test_a_setting_below_nothing_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(errors.ParameterError, match=name):
        RetryPolicy(**{name: -1})  # type: ignore[arg-type]  # the names' types differ


def test_tries_are_counted_and_those_that_move_to_another_server_are_none_of_the_policys() -> None:
    tries = Attempts(POLICY, began=0.0)
    assert tries.failed(FAILED, "one", 0.0, 1.0, billable=True, server="a", moves=True) == 0.0
    assert tries.moves == 1
    second = errors.ServerError("no", cure="Wait.")
    assert tries.failed(second, "two", 1.0, 2.0, billable=True, server="b") == 2
    assert tries.failed(errors.ServerError("no", cure="Wait."), "three", 4.0, 5.0, billable=True) == 2
    last = errors.ServerError("no", cure="Wait.")
    assert tries.failed(last, "four", 7.0, 8.0, billable=True) is None
    assert (last.attempts, last.request_id) == (4, "four")
    answered = tries.answered("five", 8.0, 9.5, "b")
    assert [(a.request_id, a.server) for a in answered.attempts][:2] == [("one", "a"), ("two", "b")]
    assert answered.attempts[-1].failed_with is None


def test_ids_of_requests_are_new_and_of_the_services_length() -> None:
    made = {new_request_id() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {35}
