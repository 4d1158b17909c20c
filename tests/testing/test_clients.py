"""Clients for tests: scripted ones, and recordings of a service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import visionpipe as vp
from visionpipe.testing import (
    AsyncRecordedClient,
    AsyncScriptedClient,
    NotRecordedError,
    RecordedClient,
    Refuses,
    Says,
    ScriptedClient,
    ScriptError,
)
from visionpipe.testing.sandbox import SandboxHandle

SAMPLES = Path(__file__).parent.parent.parent / "samples"
COFFEE, CHELSEA = SAMPLES / "coffee.png", SAMPLES / "chelsea.png"


class Cup(BaseModel):
    drink: str


def test_answers_come_in_order_and_questions_are_kept() -> None:
    with ScriptedClient(["An espresso.", Cup(drink="tea"), {"drink": "milk"}]) as client:
        assert client.describe(COFFEE, system="Be brief.").text == "An espresso."
        assert [client.extract(Cup, COFFEE).value.drink for _ in range(2)] == ["tea", "milk"]
        first, second, _ = client.asked
        assert (first.system, first.model, first.streamed) == ("Be brief.", "glm-4.6v", False)
        (image,) = first.images
        assert (image.name, image.size) == (str(COFFEE), COFFEE.stat().st_size)
        assert "drink" in second.prompt
        with pytest.raises(ScriptError, match=r"3 answers, and question 4 is 'What\?' about .*coffee.png"):
            client.ask("What?", COFFEE)


def test_answers_go_by_words_or_by_a_function() -> None:
    with ScriptedClient({"coffee": "An espresso.", "Which animal": "A cat."}) as client:
        assert client.ask("What?", COFFEE).text == "An espresso."
        assert client.ask("Which animal?", CHELSEA).text == "A cat."
        with pytest.raises(ScriptError, match="none of 'coffee', 'Which animal' stands in it"):
            client.ask("What?", CHELSEA)
    with ScriptedClient(lambda asked: f"{len(asked.images)} images") as client:
        assert client.ask("What?", COFFEE, CHELSEA).text == "2 images"


def test_everything_else_is_as_with_a_service() -> None:
    tried: list[vp.AttemptMade] = []
    script: list[Any] = [Refuses("1302", 429), Says("Half", finish_reason="length", usage=vp.Usage(1000, 10))]
    with ScriptedClient(script, on_attempt=tried.append) as client:
        reply = client.ask("What?", COFFEE)
        assert [note.kind for note in reply.notes] == ["truncated"]
        assert str(reply.cost) == "0.00103 CNY"
        assert [attempt.error and attempt.error.code for attempt in tried] == ["1302", None]
        with pytest.raises(vp.TooManyImagesError):
            client.ask("What?", [COFFEE] * 300)
    with ScriptedClient([vp.ContentPolicyError("no", cure="Leave it out."), Says(reasoning="Hm.")]) as client:
        with pytest.raises(vp.ContentPolicyError):
            client.ask("What?", COFFEE)
        with pytest.raises(vp.EmptyAnswerError):
            client.ask("What?", COFFEE)
        with pytest.raises(ScriptError, match="test with the sandbox"):
            client.files.list()


def test_streams_and_the_asyncio_client() -> None:
    with ScriptedClient(["An espresso in a cup.", Refuses("1113", 429)]) as client:
        with client.stream("What?", COFFEE) as stream:
            assert list(stream) == ["An", " espresso", " in", " a", " cup."]
        assert stream.reply.finish_reason == "stop"
        with pytest.raises(vp.AccountError):
            client.stream("What?", COFFEE)

    async def ask() -> list[str]:
        async with AsyncScriptedClient("A cat.") as client:
            async with await client.stream("What?", CHELSEA) as stream:
                pieces = [piece async for piece in stream]
            return [*pieces, (await client.ask("What?", CHELSEA)).text]

    assert asyncio.run(ask()) == ["A", " cat.", "A cat."]


def test_a_pipeline_takes_one() -> None:
    with ScriptedClient({"coffee": "An espresso.", "chelsea": "A cat."}) as client:
        results = list(vp.Pipeline(vp.presets.caption, client=client).run([COFFEE, CHELSEA]))
    assert {Path(result.source).stem: result.caption for result in results} == {
        "coffee": "An espresso.",
        "chelsea": "A cat.",
    }


def record(sandbox: SandboxHandle, path: Path, **options: Any) -> RecordedClient:
    options = {"base_url": f"bigmodel+{sandbox.base_url}", "api_key": sandbox.key, **options}
    return RecordedClient(path, "glm-4.6v", record=True, **options)


def test_what_was_recorded_once_is_answered_without_a_service(sandbox: SandboxHandle, tmp_path: Path) -> None:
    path = tmp_path / "recordings" / "coffee.json"
    sandbox.set_scenario({"rule": [{"count": 1, "fault": {"kind": "error", "code": "1302"}}]})
    with record(sandbox, path, retry=vp.RetryPolicy(first_wait=0.001, jitter=0)) as client:
        first = client.ask("What?", COFFEE)
        with client.stream("What else?", COFFEE) as stream:
            pieces = "".join(stream)
    asked = sandbox.stats()["requests"]
    with RecordedClient(path) as client:
        again = client.ask("What?", COFFEE.read_bytes())
        assert (again.text, again.usage, again.cost) == (first.text, first.usage, first.cost)
        assert len(again.attempts) == len(first.attempts) == 2
        assert client.ask("What?", COFFEE).text == first.text
        with client.stream("What else?", COFFEE) as stream:
            assert "".join(stream) == pieces
        assert stream.reply.usage is not None

    async def ask() -> vp.Reply:
        async with AsyncRecordedClient(path) as client:
            return await client.ask("What?", COFFEE)

    assert asyncio.run(ask()).text == first.text
    assert sandbox.stats()["requests"] == asked


def test_a_recording_holds_no_key_and_no_image(sandbox: SandboxHandle, tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    link = "https://cdn.example/a.png?X-Amz-Signature=s3cr3tsignature"
    with record(sandbox, path, headers={"X-Gateway": "gateway-s3cr3t"}) as client:
        client.ask(f"What is {sandbox.key}?", COFFEE)
        client.ask("What?", link)
        with client.stream("Half?", COFFEE) as stream:
            next(iter(stream))
    text = path.read_text("utf-8")
    for secret in (
        sandbox.key,
        sandbox.key.partition(".")[2],
        "gateway-s3cr3t",
        "s3cr3tsignature",
        "iVBORw0",
    ):
        assert secret not in text
    assert len(json.loads(text)["exchanges"]) == 2
    with RecordedClient(path) as client:
        assert client.ask("What?", link).text


def test_what_was_not_recorded_is_an_error_that_names_the_difference(
    sandbox: SandboxHandle, tmp_path: Path
) -> None:
    path = tmp_path / "coffee.json"
    with record(sandbox, path) as client:
        client.ask("What?", COFFEE, temperature=0.5)
    with RecordedClient(path) as client, pytest.raises(NotRecordedError) as caught:
        client.ask("Which?", CHELSEA)
    said = str(caught.value)
    assert 'body.messages[0].content[1].text: recorded "What?", now "Which?"' in said
    assert "image_url.url.sha256: recorded" in said
    assert "body.temperature: recorded 0.5, and now not there" in said
    assert "--record-replies" in said


def test_a_recording_that_is_not_there_or_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(vp.ConfigurationError, match="there is no recording"):
        RecordedClient(tmp_path / "none.json")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(vp.ConfigurationError, match="this is no recording"):
        RecordedClient(tmp_path / "other.json")


USER_TEST = """
import visionpipe as vp

def test_scripted(scripted_client):
    client = scripted_client(["An espresso."])
    assert client.describe({coffee!r}).text == "An espresso."
    assert len(client.asked) == 1

def test_recorded(recorded_client):
    client = recorded_client("glm-4.6v")
    assert client.describe({coffee!r}).text.startswith("I see 1 image")

def test_sandbox(sandbox):
    assert sandbox.stats()["requests"] == 0
"""


def test_the_pytest_plugin(
    sandbox: SandboxHandle, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest('pytest_plugins = ["visionpipe.testing.pytest_plugin"]')
    pytester.makepyfile(test_user=USER_TEST.format(coffee=str(COFFEE)))
    monkeypatch.setenv("VISIONPIPE_BASE_URL", f"bigmodel+{sandbox.base_url}")
    monkeypatch.setenv("VISIONPIPE_API_KEY", sandbox.key)
    found = pytester.runpytest_subprocess("-q", "--record-replies")
    found.assert_outcomes(passed=3)
    recording = pytester.path / "recordings" / "test_recorded.json"
    assert json.loads(recording.read_text("utf-8"))["model"] == "glm-4.6v"
    monkeypatch.setenv("VISIONPIPE_BASE_URL", "bigmodel+http://127.0.0.1:9")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)
    recording.unlink()
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2, failed=1)
