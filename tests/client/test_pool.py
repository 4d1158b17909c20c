"""A client of several servers: a question passes one that is away, and nothing is silent about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import visionpipe as vp
from tests.client.faces import KEY, Clock, Face, chat, event_stream, refusal, setup_for
from tests.loopback import Loopback, serving
from visionpipe.client.settings import resolve_settings
from visionpipe.testing.images import png_bytes

PICTURE = png_bytes(16, 16)


@pytest.fixture
def other() -> Iterator[Loopback]:
    with serving() as server:
        yield server


@pytest.fixture
def closed() -> Iterator[str]:
    """The base URL of a server that is not there."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def pooled(*urls: str, clock: Clock | None = None, **more: Any) -> dict[str, Any]:
    clock = clock or Clock()
    kind = [f"bigmodel+{url}" for url in urls]
    return {"base_url": kind, "api_key": KEY, "clock": clock, "sleep": clock.sleep, **more}


def questions(server: Loopback) -> int:
    return sum(seen.method == "POST" for seen in server.requests)


def test_a_question_passes_a_server_that_is_away_without_waiting(
    face: Face, loopback: Loopback, closed: str
) -> None:
    loopback.script(chat("A cat."))
    made: list[vp.AttemptMade] = []
    clock = Clock()
    setup = pooled(closed, loopback.url, clock=clock, on_attempt=made.append)
    # Two servers take turns, so one of two questions begins at the one that is not there.
    for _ in range(2):
        reply = face.ask("What is it?", PICTURE, setup=setup)
        assert reply.text == "A cat." and reply.attempts[-1].server == loopback.url
    assert clock.sleeps == []
    assert {(each.server, each.error is None) for each in made} >= {(loopback.url, True)}
    assert all(each.error is None or each.server == closed for each in made)


def test_the_tries_at_servers_that_are_away_are_none_of_the_policy(loopback: Loopback, closed: str) -> None:
    loopback.script(chat("A cat."))
    with vp.Client(**pooled(closed, loopback.url), retry=vp.RetryPolicy(attempts=1)) as client:
        replies = [client.ask("What is it?", PICTURE) for _ in range(4)]
    failed = [attempt for reply in replies for attempt in reply.attempts if attempt.failed_with]
    assert [attempt.server for attempt in failed] == [closed]
    assert questions(loopback) == 4


def test_a_stream_passes_too(face: Face, loopback: Loopback, closed: str) -> None:
    loopback.script(event_stream("A ", "cat."))
    for _ in range(2):
        pieces, reply = face.stream("What is it?", PICTURE, setup=pooled(closed, loopback.url))
        assert "".join(pieces) == reply.text == "A cat."


def test_where_all_are_away_it_is_tried_again_as_with_one(
    face: Face, closed: str, loopback: Loopback
) -> None:
    loopback.script(refusal(503, "1234"))
    clock = Clock()
    setup = pooled(closed, loopback.url, clock=clock, retry=vp.RetryPolicy(attempts=3))
    with pytest.raises(vp.ServiceError) as caught:
        face.ask("What is it?", PICTURE, setup=setup)
    # One move at most, which is no try of the policy's; then three with two waits between.
    assert len(clock.sleeps) == 2 and 3 <= caught.value.attempts <= 4


def test_one_that_is_back_is_asked_again(loopback: Loopback, other: Loopback) -> None:
    loopback.script(refusal(503, "1234"))
    other.script(chat("From the other."))
    clock = Clock()
    with vp.Client(**pooled(loopback.url, other.url, clock=clock)) as client:
        for _ in range(4):
            assert client.ask("What is it?", PICTURE).text == "From the other."
        asked = questions(loopback)
        assert asked == 1
        loopback.script(chat("From the first."))
        clock.now += 1.0
        texts = [client.ask("What is it?", PICTURE).text for _ in range(4)]
    assert "From the first." in texts
    looks = [seen.path for seen in loopback.requests if seen.method == "GET"]
    assert looks == ["/v1/models"]


def test_sticky_questions_about_one_picture_stay_on_one_server(loopback: Loopback, other: Loopback) -> None:
    for server in (loopback, other):
        server.script(chat("A cat."))
    with vp.Client(**pooled(loopback.url, other.url, sticky=True)) as client:
        servers = [client.ask(f"Question {n}?", PICTURE).attempts[-1].server for n in range(5)]
        assert len(set(servers)) == 1
        pictures = [png_bytes(16 + n, 20) for n in range(12)]
        assert {client.ask("What?", each).attempts[-1].server for each in pictures} == {
            loopback.url,
            other.url,
        }


def test_what_belongs_to_one_server_is_refused(loopback: Loopback, other: Loopback) -> None:
    with vp.Client(**pooled(loopback.url, other.url)) as client, pytest.raises(vp.UnsupportedError) as caught:
        client.files.upload("any.jsonl", purpose="batch")
    assert "belong to one server" in caught.value.reason
    assert not loopback.requests and not other.requests


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (["http://a/v1", "vllm+http://b/v1"], "another kind"),
        (["http://a/v1", "http://a/v1/"], "named twice"),
        (["embedded", "http://a/v1"], "no server"),
        (["http://a/v1", "http://user:secret@b/v1"], "no user, password"),
    ],
)
def test_servers_that_cannot_stand_in_for_each_other_are_refused(urls: list[str], said: str) -> None:
    with pytest.raises(vp.InputError) as caught:
        resolve_settings(base_url=urls, model="m", environ={})
    assert said in str(caught.value) and "secret" not in str(caught.value)


def test_the_environment_names_several_by_spaces() -> None:
    found = resolve_settings(model="m", environ={"VISIONPIPE_BASE_URL": "http://a/v1 http://b/v1"})
    assert [each.base_url for each in found.pool] == ["http://a/v1", "http://b/v1"]


def test_a_key_of_its_own_for_each_is_no_pool() -> None:
    keys = {"BIGMODEL_API_KEY": "a.b", "VISIONPIPE_API_KEY": "c.d"}
    urls = ["bigmodel", "bigmodel+https://gateway.example/v4"]
    with pytest.raises(vp.ConfigurationError) as caught:
        resolve_settings(base_url=urls, environ=keys)
    assert "different keys" in caught.value.reason


def test_one_in_a_list_is_as_one_alone(loopback: Loopback) -> None:
    setup = setup_for(loopback)
    loopback.script(chat("A cat."))
    with vp.Client(**{**setup, "base_url": [setup["base_url"]]}) as client:
        assert client.servers is None
        assert client.ask("What is it?", PICTURE).attempts[-1].server is None
