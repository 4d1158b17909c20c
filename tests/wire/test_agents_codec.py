"""What is sent to an agent and an application, and what of their answers is read, in all documented forms."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import UnreadableAnswerError
from visionpipe.values import Usage
from visionpipe.wire import agents, applications
from visionpipe.wire.agents import AgentStatus
from visionpipe.wire.applications import FileReadiness, UploadedFile, Value, Variable
from visionpipe.wire.http import Body

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["id", "status", "choices", "error", "async_id", "usage", "code", "data", "message"]),
    JSON | st.just([{"messages": [{"content": [1]}]}]) | st.just([{"message": 1, "delta": ["a"]}]),
    max_size=6,
)


def sent(body: Body) -> Any:
    return orjson.loads(b"".join(piece for piece in body.pieces if isinstance(piece, bytes)))


def test_a_question_to_an_agent() -> None:
    assert sent(agents.encode_invocation("a", "What?", ["https://a.example/b"])) == {
        "agent_id": "a",
        "stream": False,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": "https://a.example/b"},
                    {"type": "text", "text": "What?"},
                ],
            }
        ],
    }
    more = sent(
        agents.encode_invocation(
            "a",
            None,
            [],
            history=[{"role": "user", "content": "Hi."}],
            variables={"lang": "en"},
            conversation_id="c",
            stream=True,
        )
    )
    assert more["messages"] == [{"role": "user", "content": "Hi."}, {"role": "user", "content": []}]
    assert (more["custom_variables"], more["conversation_id"], more["stream"]) == ({"lang": "en"}, "c", True)
    assert sent(agents.encode_question_after("a", "7")) == {"agent_id": "a", "async_id": "7"}


@pytest.mark.parametrize(
    "choice",
    [
        {"messages": [{"content": {"type": "text", "text": "A cat."}}]},
        {"messages": {"content": [{"type": "text", "text": "A "}, {"type": "text", "text": "cat."}]}},
        {"message": {"content": "A cat."}},
        {"delta": {"content": ["A cat."]}},
        {"messages": [7, {"content": [7, "A cat."]}]},
    ],
)
def test_an_agents_text_in_each_form(choice: dict[str, Any]) -> None:
    answer = {"choices": [7, {**choice, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    reply = agents.reply_of(answer, "a", "vp-1")
    assert str(reply) == "A cat."
    assert (reply.agent_id, reply.request_id, reply.done) == ("a", "vp-1", True)
    assert reply.usage == Usage(3)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status": "SUCCESS"}, AgentStatus.SUCCESS),
        ({"status": "failed"}, AgentStatus.FAILED),
        ({"status": "baking"}, AgentStatus.PENDING),
        ({"async_id": "7"}, AgentStatus.PENDING),
        ({"async_id": "7", "choices": [{"message": {"content": "A cat."}}]}, AgentStatus.SUCCESS),
        ({}, AgentStatus.SUCCESS),
    ],
)
def test_how_far_an_agent_is(fields: dict[str, Any], status: AgentStatus) -> None:
    assert agents.reply_of(fields, "a", "vp-1").status is status


def test_errors_inside_of_answers() -> None:
    assert agents.error_of({"error": {"code": 1210, "message": "no"}}) == ("1210", "no")
    assert agents.error_of({"error": {"message": "no"}}) == ("", "no")
    assert agents.error_of({"error": "no"}) is None
    assert applications.error_of({"code": 200}) is None
    assert applications.error_of({"code": 10001, "message": "no"}) == ("10001", "no")
    broken = {"choices": [{"finish_reason": "error", "error_msg": {"code": "7", "msg": "no"}}]}
    assert applications.error_of(broken) == ("7", "no")
    assert applications.error_of({"error_msg": {"code": 7}}) == ("7", "")


def test_a_question_to_an_application() -> None:
    values = [Value("cat", "animal"), Value("7,8", kind="upload_image")]
    body = sent(applications.encode_application("a", values, conversation_id="c", stream=False))
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "input", "value": "cat", "key": "animal"},
                {"type": "upload_image", "value": "7,8"},
            ],
        }
    ]
    assert (body["conversation_id"], body["stream"]) == ("c", False)
    assert sent(applications.encode_file_state("a", ["7"])) == {"app_id": "a", "file_ids": ["7"]}


def test_an_applications_inputs_uploads_and_files() -> None:
    entry = {"id": 1, "name": "kind", "type": "SELECTION_LIST", "tips": "?", "allowed_values": ["a", 2]}
    assert applications.variables_of({"data": [entry, 7]}) == (
        Variable("1", "kind", "selection_list", "?", ("a", "2")),
    )
    assert applications.uploads_of(
        {
            "data": {
                "successInfo": [{"fileName": "a.png", "fileId": "7"}],
                "fail_info": [{"file_name": "b.png", "fail_reason": "large"}, {"file_name": "c.png"}],
            }
        }
    ) == (
        UploadedFile("a.png", "7"),
        UploadedFile("b.png", problem="large"),
        UploadedFile("c.png", problem="no reason given"),
    )
    states = [{"file_id": "7", "code": 1}, {"fileId": "8", "code": 11009}, {"file_id": "9", "code": 5}, {}]
    assert applications.file_states_of({"data": states}) == {
        "7": FileReadiness.READY,
        "8": FileReadiness.MISSING,
        "9": FileReadiness.BUSY,
    }
    assert applications.conversation_of({"data": {"conversation_id": "c"}}) == "c"
    for read in (applications.variables_of, applications.file_states_of, applications.conversation_of):
        with pytest.raises(UnreadableAnswerError):
            read({"data": None})


def test_an_applications_answer() -> None:
    answer = {
        "request_id": "r",
        "conversation_id": "c",
        "choices": [{"messages": {"content": {"msg": "A cat."}}, "finish_reason": "stop"}],
        "usage": [{"inputTokenCount": 3, "outputTokenCount": 2}, {"inputTokenCount": 4}],
    }
    reply = applications.reply_of(answer)
    assert (str(reply), reply.conversation_id, reply.finish_reason) == ("A cat.", "c", "stop")
    assert reply.usage == Usage(7, 2)
    bare = applications.reply_of({"choices": [{"delta": {"content": {"msg": {}}}}]})
    assert (bare.text, bare.usage) == ("", None)


@given(FIELDS)
def test_whatever_comes_is_read_or_refused(answer: dict[str, Any]) -> None:
    assert isinstance(agents.reply_of(answer, "a", "vp-1").text, str)
    assert isinstance(applications.reply_of(answer).text, str)
    for told in (agents.error_of(answer), applications.error_of(answer)):
        assert told is None or all(isinstance(part, str) for part in told)
