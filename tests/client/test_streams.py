"""Streams ended early: by their first token's or idle timeout, by close, by a cancelled task; and what then
becomes of their connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.client.faces import Face, chat, event_stream, setup_for
from tests.client.faulty import TEXT, struck
from tests.loopback import Answer, Loopback
from visionpipe.client import AsyncClient, Client
from visionpipe.errors import InterruptedAnswerError
from visionpipe.testing.sandbox import SandboxHandle
from visionpipe.wire.http import Timeouts

ODD = "A sign: \u2028line one\u2029line two\u0085\u000b\u000c end\x1c\x1d\x1e, é 一座亭子 🙂."


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Shut until it is set; set at the end, so that no server waits on."""
    event = threading.Event()
    yield event
    event.set()


def waiting(gate: threading.Event, *texts: str, at: int) -> Answer:
    """A stream whose server waits before chunk ``at``."""
    stream = event_stream(*texts)
    return Answer(
        body=stream.body,
        headers=stream.headers,
        gate=lambda number: gate.wait(10) if number == at else None,
    )


def quick(loopback: Loopback, **timeouts: float) -> dict[str, Any]:
    return setup_for(loopback, timeouts=Timeouts(**{"total": 10.0, **timeouts}))


def plain(setup: dict[str, Any]) -> dict[str, Any]:
    """Without the test's own sleep, for a client made here."""
    return {name: value for name, value in setup.items() if name != "sleep"}


def test_captions_with_odd_line_ends_arrive_whole(face: Face, sandbox: SandboxHandle) -> None:
    setup = struck(sandbox, {"kind": "latency", "seconds": 0}, text=ODD)
    pieces, reply = face.stream("Tell me.", setup=setup)
    assert "".join(pieces) == reply.text == ODD
    assert face.ask("Tell me.", setup=setup).text == ODD


def slow_to_begin(gate: threading.Event, seconds: float) -> Answer:
    """A stream whose head comes at once and whose first piece not before ``gate`` or so many seconds."""
    stream = event_stream("A ", "cat.")
    return Answer(
        body=stream.body,
        headers=stream.headers,
        gate=lambda number: None if number else gate.wait(seconds),
        gate_first=True,
    )


def test_a_stream_without_a_first_token_ends(face: Face, loopback: Loopback, gate: threading.Event) -> None:
    loopback.script(slow_to_begin(gate, 10))
    with pytest.raises(InterruptedAnswerError, match="stalled") as caught:
        face.stream("What?", setup=quick(loopback, first_token=0.1, idle=5))
    gate.set()
    assert caught.value.reply is not None
    assert caught.value.reply.text == ""


def test_a_slow_first_token_is_not_a_stall(face: Face, loopback: Loopback, gate: threading.Event) -> None:
    loopback.script(slow_to_begin(gate, 0.2))
    assert face.stream("What?", setup=quick(loopback, first_token=5, idle=0.1))[1].text == "A cat."


def test_a_stream_that_stalls_ends_at_its_idle_timeout(
    face: Face, loopback: Loopback, gate: threading.Event
) -> None:
    loopback.script(waiting(gate, "A ", "cat", " on a mat.", at=2))
    with pytest.raises(InterruptedAnswerError, match="stalled") as caught:
        face.stream("What?", setup=quick(loopback, first_token=5, idle=0.1))
    assert caught.value.reply is not None
    assert caught.value.reply.text == "A cat"
    assert caught.value.attempts == 1


def test_close_ends_a_stream_between_two_pieces(loopback: Loopback, gate: threading.Event) -> None:
    loopback.script(waiting(gate, "A ", "cat", " on a mat.", at=2), chat("Done."))
    with Client(**plain(quick(loopback))) as client:
        stream = client.stream("What?")
        pieces = []
        for piece in stream:
            pieces.append(piece)
            if len(pieces) == 2:
                stream.close()
        assert pieces == ["A ", "cat"]
        with pytest.raises(InterruptedAnswerError, match="not read to its end") as caught:
            _ = stream.reply
        assert caught.value.reply is not None
        assert caught.value.reply.text == "A cat"
        assert list(stream) == []
        assert client.ask("What?").text == "Done."


def test_close_from_another_thread_wakes_the_reader(loopback: Loopback, gate: threading.Event) -> None:
    loopback.script(waiting(gate, "A ", "cat", " on a mat.", at=2))
    with Client(**plain(quick(loopback, idle=10))) as client:
        stream = client.stream("What?")
        seen, two = [], threading.Event()

        def read() -> None:
            for piece in stream:
                seen.append(piece)
                if len(seen) == 2:
                    two.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert two.wait(5)
        stream.close()
        reader.join(2)
        assert not reader.is_alive()
        assert seen == ["A ", "cat"]
        with pytest.raises(InterruptedAnswerError):
            _ = stream.reply


def test_leaving_the_block_early_closes_the_connection(loopback: Loopback, gate: threading.Event) -> None:
    loopback.script(waiting(gate, "A ", "cat", at=1))
    with Client(**plain(quick(loopback))) as client:
        with client.stream("What?") as stream:
            assert next(iter(stream)) == "A "
        gate.set()
        assert loopback.ended.acquire(timeout=5)


def test_a_cancelled_task_closes_its_connection_and_leaves_the_client_usable(
    loopback: Loopback, gate: threading.Event
) -> None:
    loopback.script(waiting(gate, "A ", "cat", " on a mat.", at=2), chat("Done."))
    seen: list[str] = []

    async def read(client: AsyncClient, two: asyncio.Event) -> None:
        async with await client.stream("What?") as stream:
            async for piece in stream:
                seen.append(piece)
                if len(seen) == 2:
                    two.set()

    async def run() -> str:
        async with AsyncClient(**plain(quick(loopback, idle=10))) as client:
            two = asyncio.Event()
            task = asyncio.create_task(read(client, two))
            async with asyncio.timeout(5):
                await two.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.set()
            assert await asyncio.to_thread(loopback.ended.acquire, timeout=5)
            return (await client.ask("What?")).text

    assert asyncio.run(run()) == "Done."
    assert seen == ["A ", "cat"]


def test_closing_an_asyncio_stream_from_another_task_ends_it(
    loopback: Loopback, gate: threading.Event
) -> None:
    loopback.script(waiting(gate, "A ", "cat", " on a mat.", at=2))

    async def run() -> list[str]:
        async with AsyncClient(**plain(quick(loopback, idle=10))) as client:
            stream = await client.stream("What?")
            seen: list[str] = []
            two = asyncio.Event()

            async def read() -> None:
                async for piece in stream:
                    seen.append(piece)
                    if len(seen) == 2:
                        two.set()

            task = asyncio.create_task(read())
            async with asyncio.timeout(5):
                await two.wait()
                await stream.close()
                await task
            with pytest.raises(InterruptedAnswerError):
                _ = stream.reply
            return seen

    assert asyncio.run(run()) == ["A ", "cat"]


def test_the_sandbox_counts_no_stream_in_flight_after_a_close(sandbox: SandboxHandle) -> None:
    setup = struck(sandbox, {"kind": "stream", "form": "stall"})
    with Client(**setup) as client:
        stream = client.stream("Tell me.")
        pieces = iter(stream)
        assert next(pieces) == TEXT[:12]
        assert sandbox.stats()["in_flight"] == 1
        stream.close()
        assert list(pieces) == []
    gone = threading.Event()
    for _ in range(100):
        if sandbox.stats()["in_flight"] == 0:
            break
        gone.wait(0.02)
    assert sandbox.stats()["in_flight"] == 0


def test_a_stream_read_to_its_end_gives_its_connection_back(face: Face, loopback: Loopback) -> None:
    ended = event_stream("A cat.")
    # Without [DONE] the end of the body is read; the connection then serves the next call.
    loopback.script(Answer(body=ended.body[:-1], headers=ended.headers), chat("Done."))
    with Client(**plain(quick(loopback))) as client:
        assert "".join(client.stream("What?")) == "A cat."
        client.ask("What?")
    assert [seen.connection for seen in loopback.requests] == [1, 1]
    assert orjson.loads(loopback.requests[0].body)["stream"] is True
