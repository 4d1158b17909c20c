"""The calls of both clients against a server on loopback: what is sent, what comes back, what goes wrong."""

from __future__ import annotations

import base64
import logging
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from tests.client.faces import KEY, Clock, Face, chat, event_stream, refusal, setup_for
from tests.loopback import Answer, Loopback
from visionpipe.client import Client
from visionpipe.errors import (
    AccountError,
    ContentPolicyError,
    InterruptedAnswerError,
    ParameterError,
    RateLimitError,
    TooManyImagesError,
    VisionPipeError,
)
from visionpipe.stages.retry import RetryPolicy
from visionpipe.values import Usage

SAMPLES = Path(__file__).parent.parent.parent / "samples"
WALK = SAMPLES.parent / "benchmarks" / "walk.py"
CHINA = SAMPLES / "china.jpg"
COFFEE = SAMPLES / "coffee.png"
STEADY = RetryPolicy(attempts=6, seconds=1e9, jitter=0)


def test_a_call_says_what_the_service_expects(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Two pictures."))
    reply = face.ask(
        "What are these?",
        CHINA,
        str(COFFEE),
        setup=setup_for(loopback, model="glm-4v-plus-0111"),
        temperature=0.3,
        max_tokens=200,
        system="Be brief.",
    )
    assert reply.text == "Two pictures."
    assert reply.usage == Usage(1037, 37)
    assert str(reply.cost) == "0.004296 CNY"
    (seen,) = loopback.requests
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    body = seen.json()
    assert body["request_id"] == reply.request_id
    assert set(body) == {"model", "messages", "temperature", "max_tokens", "request_id"}
    images = [part["image_url"]["url"] for part in body["messages"][-1]["content"][:2]]
    assert [base64.b64decode(image) for image in images] == [CHINA.read_bytes(), COFFEE.read_bytes()]
    assert body["messages"][-1]["content"][2]["type"] == "text"


def test_describe_asks_in_the_clients_language(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("一座亭子。"))
    reply = face.describe(CHINA, setup=setup_for(loopback, lang="zh"))
    assert reply.text == "一座亭子。"
    assert "画面" in loopback.requests[0].json()["messages"][0]["content"][-1]["text"]


def test_a_stream_gives_its_pieces_and_its_reply(face: Face, loopback: Loopback) -> None:
    loopback.script(event_stream("A ", "line\u2028", "break\u0085."))
    pieces, reply = face.stream("What?", CHINA, setup=setup_for(loopback))
    assert pieces == ["A ", "line\u2028", "break\u0085."]
    assert reply.text == "A line\u2028break\u0085."
    assert reply.usage == Usage(8, 2)
    assert loopback.requests[0].json()["stream"] is True


def test_a_stream_that_breaks_keeps_what_came(face: Face, loopback: Loopback) -> None:
    answer = event_stream("A ", "ca", done=False)
    loopback.script(Answer(body=answer.body, headers=answer.headers, reset="middle"))
    with pytest.raises(InterruptedAnswerError) as caught:
        face.stream("What?", CHINA, setup=setup_for(loopback))
    assert caught.value.reply is not None
    assert caught.value.reply.text == "A ca"


@pytest.mark.parametrize("way", ["ask", "stream"])
def test_failures_that_pass_are_waited_out_with_tenacitys_waits(
    face: Face, loopback: Loopback, way: str
) -> None:
    clock = Clock()
    loopback.script(
        refusal(429, "1302"),
        refusal(500, "1234"),
        Answer(reset="before"),
        refusal(429, "1305", retry_after="7"),
        chat("Done.") if way == "ask" else event_stream("Done."),
    )
    setup = setup_for(loopback, clock, retry=STEADY)
    reply = (
        face.ask("What?", CHINA, setup=setup) if way == "ask" else face.stream("What?", CHINA, setup=setup)[1]
    )
    assert reply.text == "Done."
    assert clock.sleeps == [1, 2, 4, 8]
    ids = [seen.json()["request_id"] for seen in loopback.requests]
    assert len(set(ids)) == 5
    assert [attempt.request_id for attempt in reply.attempts] == ids
    assert [attempt.failed_with for attempt in reply.attempts] == ["1302", "1234", "connection", "1305", None]


def test_retry_after_of_seven_seconds_is_honoured(face: Face, loopback: Loopback) -> None:
    clock = Clock()
    loopback.script(refusal(429, "1302", retry_after="7"), chat("Done."))
    face.ask("What?", CHINA, setup=setup_for(loopback, clock, retry=STEADY))
    assert clock.sleeps == [7]


@pytest.mark.parametrize(
    ("status", "code", "kind", "scope"),
    [(429, "1113", AccountError, "job"), (400, "1301", ContentPolicyError, "item")],
)
def test_what_cannot_pass_is_tried_once(
    face: Face, loopback: Loopback, status: int, code: str, kind: type[VisionPipeError], scope: str
) -> None:
    loopback.script(refusal(status, code))
    with pytest.raises(kind) as caught:
        face.ask("What?", CHINA, setup=setup_for(loopback))
    assert (caught.value.scope, caught.value.attempts) == (scope, 1)
    assert len(loopback.requests) == 1


def test_the_key_shows_nowhere(face: Face, loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    loopback.script(refusal(401, "1002"))
    setup = setup_for(loopback)
    with pytest.raises(VisionPipeError) as caught:
        face.ask("What?", CHINA, setup=setup)
    with Client(**setup) as client:
        shown = [repr(client), repr(client.settings), str(vars(client))]
    shown += [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value), caplog.text]
    secret = KEY.partition(".")[2]
    assert not [text for text in shown if secret in text]


def test_the_callers_objects_are_left_alone(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    extra = {"do_sample": True}
    images = [bytearray(CHINA.read_bytes())]
    before = bytes(images[0])
    face.ask("What?", *images, setup=setup_for(loopback), extra=extra)
    assert (bytes(images[0]), extra) == (before, {"do_sample": True})


@pytest.mark.parametrize(("model", "passes", "refused"), [("glm-4v-plus-0111", 5, 6), ("glm-4v-flash", 1, 2)])
def test_image_counts(face: Face, loopback: Loopback, model: str, passes: int, refused: int) -> None:
    loopback.script(chat("Done."))
    setup = setup_for(loopback, model=model)
    face.ask("What?", *[CHINA] * passes, setup=setup)
    with pytest.raises(TooManyImagesError, match=f"{refused} images.*takes {passes}.*glm-") as caught:
        face.ask("What?", *[CHINA] * refused, setup=setup)
    assert "glm-4.6v" in caught.value.cure or "glm-4v-plus-0111" in caught.value.cure
    assert len(loopback.requests) == 1


def test_too_many_images_can_be_split(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("First."), chat("Second."))
    setup = setup_for(loopback, model="glm-4v-plus-0111")
    reply = face.ask("What?", *[CHINA] * 7, setup=setup, on_too_many="split")
    counts = [len(seen.json()["messages"][-1]["content"]) - 1 for seen in loopback.requests]
    assert counts == [4, 3]
    assert reply.text == "First.\n\nSecond."
    assert reply.usage == Usage(2074, 74)
    assert [a.kind for a in reply.adjustments] == ["split"]
    assert len(reply.attempts) == 2


def test_too_many_images_can_become_a_contact_sheet(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    setup = setup_for(loopback, model="glm-4v-flash")
    reply = face.ask("What?", CHINA, COFFEE, setup=setup, on_too_many="contact_sheet")
    content = loopback.requests[0].json()["messages"][-1]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert "contact_sheet" in [a.kind for a in reply.adjustments]


def test_a_linked_image_is_passed_on(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    face.ask("What?", "https://example.com/a.jpg", setup=setup_for(loopback))
    part = loopback.requests[0].json()["messages"][-1]["content"][0]
    assert part["image_url"]["url"] == "https://example.com/a.jpg"


def test_a_linked_image_is_fetched_on_request(face: Face, loopback: Loopback) -> None:
    loopback.script(Answer(body=CHINA.read_bytes(), headers={"Content-Type": "image/jpeg"}), chat("Done."))
    link = loopback.url + "/china.jpg"
    setup = setup_for(loopback)
    with pytest.raises(VisionPipeError, match=r"127\.0\.0\.1"):
        face.ask("What?", link, setup=setup, fetch=True)
    assert loopback.requests == []
    reply = face.ask("What?", link, setup=setup, fetch=True, allow_private=True)
    part = loopback.requests[1].json()["messages"][-1]["content"][0]
    assert base64.b64decode(part["image_url"]["url"]) == CHINA.read_bytes()
    assert [a.kind for a in reply.adjustments] == ["fetched"]


def test_base64_to_the_flash_model_is_doubted_aloud(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    reply = face.ask("What?", CHINA, setup=setup_for(loopback, model="glm-4v-flash"))
    assert [a.kind for a in reply.adjustments] == ["doubt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.5, "top_p": 0.5}, "temperature, top_p"),
        ({"temperature": 1.2}, "temperature"),
        ({"colour": 3}, "colour: there is no such option"),
    ],
)
def test_wrong_options_cost_no_request(
    face: Face, loopback: Loopback, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        face.ask("What?", CHINA, setup=setup_for(loopback), **options)
    assert loopback.requests == []


def test_a_limiter_sees_every_429(loopback: Loopback) -> None:
    loopback.script(refusal(429, "1302"), chat("Done."))
    with Client(**setup_for(loopback)) as client:
        prepared = client.prepare("What?", CHINA)
        with pytest.raises(RateLimitError):
            client.send(prepared, retry_rate_limits=False)
        assert client.send(prepared).text == "Done."


def test_openai_servers_get_data_uris_and_no_request_id(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Done."))
    setup = {**setup_for(loopback), "base_url": loopback.url, "model": "some-model"}
    face.ask("What?", CHINA, setup=setup)
    body = loopback.requests[0].json()
    assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")
    assert "request_id" not in body


def test_images_may_come_in_lists(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Three."))
    reply = face.ask("Which?", [CHINA, COFFEE], CHINA, setup=setup_for(loopback, model="glm-4v-plus-0111"))
    assert reply.text == "Three."
    content = loopback.requests[0].json()["messages"][-1]["content"]
    images = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    sent = [CHINA.read_bytes(), COFFEE.read_bytes(), CHINA.read_bytes()]
    assert [base64.b64decode(image) for image in images] == sent


def test_one_question_takes_no_detours() -> None:
    """In a process of its own, where nothing else has loaded OpenTelemetry, whose spans cost calls too."""
    walked = subprocess.run(
        [sys.executable, WALK], capture_output=True, text=True, timeout=300, check=True
    ).stdout.splitlines()[0]
    found = re.fullmatch(r"one question: (\d+) own calls, (\d+) files entered, (\d+) of .*", walked)
    assert found is not None, walked
    assert int(found[1]) <= 194
    assert int(found[3]) < 20
