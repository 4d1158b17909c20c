"""What the service says of a task."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import UnreadableAnswerError
from visionpipe.wire.chat import TaskStatus, read_task, result_path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["id", "task_status", "model", "request_id", "error", "choices"]), JSON, max_size=6
)


def test_a_submission_is_read() -> None:
    state = read_task(b'{"id":"12","request_id":"r-1","model":"glm-4.6v","task_status":"PROCESSING"}')
    assert (state.id, state.status, state.model, state.request_id) == (
        "12",
        TaskStatus.PROCESSING,
        "glm-4.6v",
        "r-1",
    )


def test_an_unknown_word_is_still_in_progress() -> None:
    assert read_task(b'{"id":"12","task_status":"QUEUED"}').status is TaskStatus.PROCESSING


def test_the_id_asked_after_holds() -> None:
    assert read_task(b'{"task_status":"SUCCESS"}', "12").id == "12"
    with pytest.raises(UnreadableAnswerError, match="no id"):
        read_task(b'{"task_status":"SUCCESS"}')


def test_an_id_cannot_leave_its_path() -> None:
    assert result_path("../chat/x?y#z") == "/async-result/..%2Fchat%2Fx%3Fy%23z"


@given(FIELDS)
def test_any_object_is_read_or_refused(fields: dict[str, object]) -> None:
    try:
        state = read_task(orjson.dumps(fields))
    except UnreadableAnswerError as error:
        assert error.cure
    else:
        assert state.id
        assert state.status in TaskStatus


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        read_task(body)
