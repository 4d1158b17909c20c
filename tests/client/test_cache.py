"""A client's cache of answers: what is taken from it, what never gets into it, and what harms it not."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import visionpipe as vp
from tests.client.faces import KEY, Face, chat, event_stream, setup_for
from tests.loopback import Answer, Loopback

COFFEE = Path(__file__).parent.parent.parent / "samples" / "coffee.png"
CHELSEA = COFFEE.with_name("chelsea.png")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[vp.AnswerCache]:
    with vp.AnswerCache(tmp_path / "answers.cache") as opened:
        yield opened


def ended(text: str, finish_reason: str) -> Answer:
    whole = chat(text).body
    assert isinstance(whole, bytes)
    return Answer(body=whole.replace(b'"stop"', f'"{finish_reason}"'.encode()))


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "answers.cache"


def test_the_same_question_is_sent_once_and_costs_once(
    face: Face, loopback: Loopback, tmp_path: Path
) -> None:
    loopback.script(chat("An espresso."))
    setup = setup_for(loopback, model="glm-4.6v", cache=file_of(tmp_path))
    first = face.ask("What is it?", COFFEE, setup=setup)
    second = face.ask("What is it?", COFFEE.read_bytes(), setup=setup)
    assert len(loopback.requests) == 1
    assert first.cached is None
    assert second.text == first.text
    assert (second.usage, second.cost) == (vp.Usage(), vp.Money(Decimal(0), "CNY"))
    assert second.cached is not None
    assert (second.cached.usage, second.cached.cost) == (first.usage, first.cost)
    assert second.notes[-1].kind == "cached" and str(first.cost) in second.notes[-1].detail
    assert second.attempts == () and second.request_id == first.request_id
    assert second.to_json()["cached"] == second.cached.to_json()


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "What else?"},
        {"image": CHELSEA},
        {"model": "glm-4v-plus-0111"},
        {"temperature": 0.3},
        {"system": "Be brief."},
        {"cache": "off"},
        {"cache": "refresh"},
    ],
)
def test_another_question_is_asked(
    loopback: Loopback, cache: vp.AnswerCache, changed: dict[str, Any]
) -> None:
    loopback.script(chat("An espresso."), chat("Another answer."))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        client.ask("What is it?", COFFEE)
        prompt, image = changed.pop("prompt", "What is it?"), changed.pop("image", COFFEE)
        assert client.ask(prompt, image, **changed).text == "Another answer."
        refreshed = changed == {"cache": "refresh"}
        kept = client.ask("What is it?", COFFEE)
    assert kept.cached is not None
    assert kept.text == ("Another answer." if refreshed else "An espresso.")


def test_another_endpoint_has_answers_of_its_own(loopback: Loopback, cache: vp.AnswerCache) -> None:
    loopback.script(chat("Here."), chat("There."))
    setup = setup_for(loopback, model="glm-4.6v", cache=cache)
    with vp.Client(**setup) as client:
        client.ask("What is it?", COFFEE)
    with vp.Client(**{**setup, "base_url": f"zai+{loopback.url}"}) as client:
        assert client.ask("What is it?", COFFEE).text == "There."


@pytest.mark.parametrize(
    "answer",
    [
        chat("I'm sorry, but I can't help with that."),
        chat("the cup " * 60),
        ended("A cup, half of", "length"),
        chat(f"Your key is {KEY}."),
        Answer(body=chat("An espresso.").body[:-1]),
    ],
    ids=["refused", "looping", "cut off", "quotes the key", "damaged"],
)
def test_poor_answers_are_given_and_not_kept(
    loopback: Loopback, cache: vp.AnswerCache, answer: Answer
) -> None:
    loopback.script(answer, chat("An espresso."))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        client.ask("What is it?", COFFEE)
        assert len(cache) == 0
        assert client.ask("What is it?", COFFEE).text == "An espresso."
    assert len(cache) == 1


def test_errors_and_what_the_filter_took_are_not_kept(loopback: Loopback, cache: vp.AnswerCache) -> None:
    loopback.script(ended("An", "sensitive"), Answer(status=400, body=b"{}"), chat("An espresso."))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        for _ in range(2):
            with pytest.raises(vp.VisionPipeError):
                client.ask("What is it?", COFFEE)
        assert client.ask("What is it?", COFFEE).cached is None


def test_streams_are_kept_when_whole_and_replayed(face: Face, loopback: Loopback, tmp_path: Path) -> None:
    loopback.script(event_stream("An ", "espresso."))
    setup = setup_for(loopback, model="glm-4.6v", cache=file_of(tmp_path))
    pieces, reply = face.stream("What is it?", COFFEE, setup=setup)
    assert (pieces, reply.cached) == (["An ", "espresso."], None)
    pieces, reply = face.stream("What is it?", COFFEE, setup=setup)
    assert pieces == ["An espresso."] and reply.cached is not None
    assert face.ask("What is it?", COFFEE, setup=setup).cached == reply.cached
    assert len(loopback.requests) == 1


def test_half_a_stream_is_not_kept(loopback: Loopback, cache: vp.AnswerCache) -> None:
    loopback.script(event_stream("An ", "espresso."), chat("An espresso."))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        with client.stream("What is it?", COFFEE) as stream:
            assert next(iter(stream)) == "An "
        assert len(cache) == 0
        assert client.ask("What is it?", COFFEE).cached is None


class Cup(BaseModel):
    drink: str


def test_data_is_kept_once_it_fits(loopback: Loopback, cache: vp.AnswerCache) -> None:
    loopback.script(chat('{"cup": 1}'), chat('{"drink": "espresso"}'))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        first = client.extract(Cup, COFFEE)
        second = client.extract(Cup, COFFEE)
        with client.extract_stream(Cup, COFFEE) as stream:
            assert list(stream) == [{"drink": "espresso"}]
    assert first.value == second.value == stream.value == Cup(drink="espresso")
    assert second.reply.cached is not None and first.reply.usage == second.reply.cached.usage
    assert len(loopback.requests) == 2


def test_a_document_that_does_not_fit_is_not_kept(loopback: Loopback, cache: vp.AnswerCache) -> None:
    loopback.script(event_stream('{"cup": 1}'), chat('{"drink": "espresso"}'))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        with client.extract_stream(Cup, COFFEE) as stream:
            list(stream)
        assert len(cache) == 0
        assert client.extract(Cup, COFFEE).value == Cup(drink="espresso")


def test_conversations_are_kept_by_all_that_was_said_and_tools_not(
    loopback: Loopback, cache: vp.AnswerCache
) -> None:
    loopback.script(chat("An espresso."), chat("In a cup."), chat("Sunny."), chat("Rainy."))

    def weather() -> str:
        """The weather."""
        return "fine"

    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        for _ in range(2):
            said = client.conversation()
            assert said.ask("What is it?", COFFEE).text == "An espresso."
            assert said.ask("In what?").text == "In a cup."
        assert len(loopback.requests) == 2
        answers = [client.ask("And the weather?", tools=[weather]).text for _ in range(2)]
    assert answers == ["Sunny.", "Rainy."]


def test_a_job_leaves_the_cache_alone(loopback: Loopback, cache: vp.AnswerCache) -> None:
    loopback.script(chat("An espresso."))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        for _ in range(2):
            (result,) = vp.Pipeline("What is it?", client=client).run([COFFEE])
            assert result.caption == "An espresso."
    assert len(loopback.requests) == 2 and len(cache) == 0


def test_the_file_holds_no_prompt_no_image_and_no_key(loopback: Loopback, tmp_path: Path) -> None:
    loopback.script(chat("An espresso."))
    file = file_of(tmp_path)
    setup = setup_for(loopback, model="glm-4.6v", cache=file, headers={"X-Gateway": "gateway-s3cr3t"})
    with vp.Client(**setup) as client:
        client.ask("What, pray, is it?", COFFEE)
    held = file.read_bytes()
    assert b"An espresso." in held
    for secret in (KEY, KEY.partition(".")[2], "gateway-s3cr3t", "pray", "iVBORw0KGgo"):
        assert secret.encode() not in held


@pytest.mark.parametrize("damage", ["value = substr(value, 2)", "value = CAST(x'ff00' AS TEXT)"])
def test_a_damaged_answer_is_asked_again_and_replaced(
    loopback: Loopback, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    loopback.script(chat("An espresso."))
    setup = setup_for(loopback, model="glm-4.6v", cache=file_of(tmp_path))
    with vp.Client(**setup) as client:
        client.ask("What is it?", COFFEE)
    with closing(sqlite3.connect(file_of(tmp_path))) as file:
        file.execute(f"UPDATE answers SET {damage}")
        file.commit()
    with vp.Client(**setup) as client, caplog.at_level(logging.WARNING, "visionpipe"):
        assert client.ask("What is it?", COFFEE).cached is None
        assert client.ask("What is it?", COFFEE).cached is not None
    assert "asked again" in caplog.text


def test_a_file_that_fails_costs_a_line_and_no_answer(
    loopback: Loopback, cache: vp.AnswerCache, caplog: pytest.LogCaptureFixture
) -> None:
    loopback.script(chat("An espresso."))
    with vp.Client(**setup_for(loopback, model="glm-4.6v", cache=cache)) as client:
        cache.close()
        assert client.ask("What is it?", COFFEE).text == "An espresso."
    assert "is not used" in caplog.text


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "other.db"
    with closing(sqlite3.connect(foreign)) as file:
        file.execute("CREATE TABLE other (x)")
        file.commit()
    with pytest.raises(vp.JournalError, match="no cache of answers"):
        vp.Client(cache=foreign)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"no database at all" * 400)
    with pytest.raises(vp.JournalError, match="Choose another file"):
        vp.Client(cache=photo)
    with pytest.raises(vp.JournalError, match="this is a folder, no cache of answers"):
        vp.Client(cache=tmp_path)
    broken = tmp_path / "broken.cache"
    vp.AnswerCache(broken).close()
    broken.write_bytes(bytes(16) + broken.read_bytes()[16:])
    with pytest.raises(vp.JournalError, match="Remove the file"):
        vp.Client(cache=broken)
    with pytest.raises(vp.ParameterError, match="max_bytes"):
        vp.AnswerCache(tmp_path / "new.cache", max_bytes=0)


def test_a_cache_keeps_what_was_used_last_within_its_size(tmp_path: Path) -> None:
    now = [0.0]
    with vp.AnswerCache(tmp_path / "a", max_bytes=1000, max_age=1e6, clock=lambda: now[0]) as cache:
        for number in range(12):
            now[0] += 7200
            cache.keep(str(number), {"text": "x" * 90})
            assert cache.recall("0") is not None
        assert cache.size <= 1000
        assert cache.recall("1") is None
        assert cache.recall("11") == {"text": "x" * 90}
        cache.keep("large", {"text": "x" * 1000})
        assert cache.recall("large") is None
        assert cache.prune(older_than=3600) == len(cache) - 1 or len(cache) == 1
        now[0] += 2e6
        assert cache.recall("11") is None
        assert cache.prune(max_bytes=0) == 1
        assert (len(cache), cache.size) == (0, 0)


WRITER = """
import sys
import visionpipe as vp
with vp.AnswerCache(sys.argv[1]) as cache:
    for number in range(100):
        cache.keep(f"{sys.argv[2]} {number % 50}", {"text": "x" * 300})
        assert cache.recall(f"{sys.argv[2]} {number % 50}") == {"text": "x" * 300}
"""


def test_processes_and_threads_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "shared.cache"

    def write(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WRITER, str(file), name]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(write, "abcd"))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 4
    with vp.AnswerCache(file) as cache, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cache.keep(f"e {n}", {"text": "y"}), range(100)))
        assert len(cache) == 300
        assert all(cache.recall(f"{name} {n}") is not None for name in "abcd" for n in range(50))
        row = cache._database.one("SELECT sum(size) FROM answers")
        assert row is not None and cache.size == row[0]
