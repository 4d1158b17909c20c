"""Answers that tell too much or never end, and names that are no UTF-8, on both clients."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from tests.client.faces import KEY, Face, setup_for
from tests.client.service_faces import Calling
from tests.loopback import Answer, Loopback
from visionpipe.client.conversation_file import load_conversation, save_conversation
from visionpipe.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InterruptedAnswerError,
    ServiceError,
)
from visionpipe.media import FileContent, Image
from visionpipe.request import Message
from visionpipe.stages.history import Transcript
from visionpipe.testing.images import jpeg_bytes
from visionpipe.values import Usage
from visionpipe.wire.reply import read_usage


def test_a_key_that_a_server_quotes_is_in_no_error(face: Face, loopback: Loopback) -> None:
    told = f"Incorrect API key provided: {KEY}. You sent 'Bearer {KEY}'."
    loopback.script(Answer(status=401, body=orjson.dumps({"error": {"code": "1002", "message": told}})))
    with pytest.raises(AuthenticationError) as caught:
        face.ask("What?", jpeg_bytes(), setup=setup_for(loopback))
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert "Incorrect API key provided: ***" in shown
    assert KEY not in shown


@pytest.mark.parametrize("per_call", [False, True])
def test_a_header_of_the_callers_arrives_and_is_in_no_error(
    face: Face, loopback: Loopback, per_call: bool
) -> None:
    told = "The gateway knows no gw-5f1e0c77a2."
    loopback.script(Answer(status=401, body=orjson.dumps({"error": {"code": "1002", "message": told}})))
    headers = {"X-Gateway-Key": "gw-5f1e0c77a2"}
    setup = setup_for(loopback)
    with pytest.raises(AuthenticationError) as caught:
        if per_call:
            face.ask("What?", jpeg_bytes(), setup=setup, headers=headers)
        else:
            face.ask("What?", jpeg_bytes(), setup={**setup, "headers": headers})
    assert loopback.requests[0].headers["x-gateway-key"] == "gw-5f1e0c77a2"
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert "The gateway knows no ***" in shown
    assert "gw-5f1e0c77a2" not in shown


QUOTED = {"error": {"code": "1210", "message": f"Bad request of 'Bearer {KEY}'."}}


def shows_no_key(error: BaseException | None) -> bool:
    """Whether neither the error nor what caused it shows the key, and the mask stands in its place."""
    shown = f"{error} {vars(error)}"
    return KEY not in shown and "Bad request of 'Bearer ***'" in shown


def test_a_key_quoted_in_an_answer_of_status_200_is_in_no_error(face: Face, loopback: Loopback) -> None:
    loopback.script(Answer(body=orjson.dumps(QUOTED)))
    with pytest.raises(ServiceError) as caught:
        face.ask("What?", jpeg_bytes(), setup=setup_for(loopback))
    assert shows_no_key(caught.value)


@pytest.mark.parametrize("said", ["", "A ca"])
def test_a_key_quoted_in_a_streams_frame_is_in_no_error(face: Face, loopback: Loopback, said: str) -> None:
    first = {"id": "1", "choices": [{"index": 0, "delta": {"content": said}}]}
    frames = [b"data: " + orjson.dumps(frame) + b"\n\n" for frame in (first, QUOTED)]
    loopback.script(Answer(body=frames))
    with pytest.raises((ServiceError, InterruptedAnswerError)) as caught:
        face.stream("What?", jpeg_bytes(), setup=setup_for(loopback))
    assert shows_no_key(caught.value)
    if said:
        assert shows_no_key(caught.value.__cause__)


def test_a_key_quoted_by_an_agent_is_in_no_error(call: Calling, loopback: Loopback) -> None:
    loopback.script(Answer(body=orjson.dumps({"id": "1", "agent_id": "a", "status": "failed", **QUOTED})))
    with pytest.raises(ServiceError) as caught:
        call(setup_for(loopback), "agents.invoke", "a", "Hello?")
    assert shows_no_key(caught.value)


def test_nothing_is_awaited_behind_the_end_of_an_agents_stream(call: Calling, loopback: Loopback) -> None:
    said = {"id": "1", "agent_id": "a", "choices": [{"delta": {"content": {"type": "text", "text": "Hi."}}}]}
    frames = [b"data: " + orjson.dumps(said) + b"\n\n", b"data: [DONE]\n\n"]
    loopback.script(Answer(body=frames, reset="middle"))
    pieces, reply = call(setup_for(loopback), "agents.stream", "a", "Hello?")
    assert (pieces, reply.text) == (["Hi."], "Hi.")


def test_a_conversation_about_a_name_that_is_no_utf8_is_saved_and_read(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    image = Image(path, FileContent(path, 10, 1), "jpeg", 2, 2)
    transcript = Transcript((Message("user", (image,)),))
    save_conversation(tmp_path / "talk.json", transcript, "猫", embed=False)
    assert load_conversation(tmp_path / "talk.json") == (transcript, "猫")


@pytest.mark.parametrize("count", [2**63, -1, True, "seven", None])
def test_a_number_that_is_no_count_is_not_taken_for_one(count: object) -> None:
    assert read_usage({"prompt_tokens": count, "completion_tokens": 3}) == Usage(0, 3)


def test_a_host_that_cannot_be_one_is_an_error_with_a_cure(face: Face) -> None:
    setup = {"base_url": "bigmodel+http://a..b/v4", "api_key": KEY}
    with pytest.raises(ConnectionFailedError, match="could not be made"):
        face.ask("What?", jpeg_bytes(), setup={**setup, "sleep": lambda seconds: None})
