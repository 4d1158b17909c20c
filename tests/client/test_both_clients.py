"""Every public call, on both clients: the same requests go out, and the same comes back.

Each case is played against a small service that answers by path. One more test holds that no public method of
a class that users get is left out.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orjson
import pytest

import visionpipe as vp
import visionpipe.client._sync as generated
from tests.client.faces import Clock, _awaited, chat, event_stream, setup_for
from tests.client.test_agents import APP, LINK, events, part
from tests.client.test_tasks import told
from tests.client.test_tools import calls
from tests.clip_maker import texture, write_clip
from tests.loopback import Answer, Loopback, Seen, serving
from visionpipe.errors import UnsupportedError, VisionPipeError
from visionpipe.testing.images import jpeg_bytes

PHOTO = jpeg_bytes(64, 48)
SCHEMA = {"type": "object", "properties": {"animal": {"type": "string"}}, "required": ["animal"]}


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


# What the service answers.

FILE = {"id": "f1", "filename": "lines.jsonl", "bytes": 3, "purpose": "batch", "created_at": 1}
BATCH = {"id": "b1", "status": "completed", "output_file_id": "f2", "error_file_id": "f3"}
JOB = {"id": "j1", "status": "succeeded", "model": "glm-4-flash", "fine_tuned_model": "mine"}
SAID = {"finish_reason": "stop", "messages": part("A receipt.")}
APP_SAID = {"messages": {"content": {"msg": "A cat."}}, "finish_reason": "stop"}


def result_line() -> bytes:
    body = chat("A cat.").body
    assert isinstance(body, bytes)
    done = {"custom_id": "item-1", "response": {"status_code": 200, "body": orjson.loads(body)}}
    refused = {"custom_id": "item-2", "response": {"status_code": 400, "body": {"error": {"code": "1301"}}}}
    return orjson.dumps(done) + b"\n" + orjson.dumps(refused) + b"\n{}\n"


def answer_chat(question: dict[str, Any]) -> Answer:
    texts = ('{"animal":', '"cat"}') if "animal" in str(question["messages"]) else ("A ", "cat.")
    if question.get("tools") and question["messages"][-1]["role"] != "tool":
        return calls(("weather", '{"city": "Oslo"}'))
    return event_stream(*texts) if question.get("stream") else chat("".join(texts))


def answer(seen: Seen) -> Answer:
    path = seen.path.partition("?")[0].removeprefix("/v1")
    posted = seen.method == "POST"
    match path:
        case "/chat/completions":
            return answer_chat(seen.json())
        case "/async/chat/completions":
            return told("PROCESSING")
        case "/tokenizer":
            return Answer(body=b'{"usage":{"prompt_tokens":5,"image_tokens":30}}')
        case "/files":
            return Answer(body=orjson.dumps(FILE if posted else {"data": [FILE], "has_more": True}))
        case "/files/f1":
            return Answer(body=b"{}")
        case "/batches":
            return Answer(body=orjson.dumps(BATCH if posted else {"data": [BATCH]}))
        case "/batches/b1" | "/batches/b1/cancel":
            return Answer(body=orjson.dumps(BATCH))
        case "/fine_tuning/jobs":
            return Answer(body=orjson.dumps(JOB if posted else {"data": [JOB]}))
        case "/fine_tuning/jobs/j1" | "/fine_tuning/jobs/j1/cancel":
            return Answer(body=orjson.dumps(JOB))
        case "/fine_tuning/jobs/j1/events":
            return Answer(body=b'{"data":[{"id":"e1","message":"Step 1."}]}')
        case "/api/agents" | "/api/v1/agents":
            if seen.json()["stream"]:
                return events(
                    {"choices": [{"delta": part("A ")}]}, {"choices": [{"delta": part("receipt.")}]}
                )
            return Answer(body=orjson.dumps({"choices": [SAID], "status": "success"}))
        case "/api/v1/agents/async-result":
            return Answer(body=orjson.dumps({"choices": [SAID], "status": "success"}))
    if path.startswith("/async-result/"):
        whole = chat("A cat.").body
        assert isinstance(whole, bytes)
        return told("SUCCESS", **{**orjson.loads(whole), "id": "8239"})
    if path.endswith("/content"):
        return Answer(body=[result_line()])
    return answer_application(path.removeprefix("/api/llm-application/open"), seen)


def answer_application(path: str, seen: Seen) -> Answer:
    if path.endswith("/variables"):
        return Answer(body=b'{"data":[{"id":"v1","name":"Picture","type":"upload_image"}]}')
    if path.endswith("/conversation"):
        return Answer(body=b'{"data":{"conversation_id":"c1"}}')
    if path.endswith("/file_upload"):
        return Answer(body=b'{"data":{"successInfo":[{"fileName":"a.jpg","fileId":"f9"}]}}')
    if path.endswith("/file_stat"):
        return Answer(body=b'{"data":[{"file_id":"f9","code":1}]}')
    if path.endswith("/invoke"):
        if seen.json()["stream"]:
            return events({"choices": [{"delta": APP_SAID["messages"], "finish_reason": "stop"}]})
        return Answer(body=orjson.dumps({"choices": [APP_SAID]}))
    return Answer(404, b'{"error":{"code":"1222","message":"no such path"}}')


# What is played. ``now`` awaits what has to be awaited; ``read`` reads a stream to its end.


async def now(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def iterated(stream: AsyncIterator[Any] | Iterable[Any]) -> list[Any]:
    if isinstance(stream, Iterable):
        return list(stream)
    return [piece async for piece in stream]


async def read(stream: Any) -> tuple[list[Any], Any]:
    stream = await now(stream)
    try:
        return await iterated(stream), stream.reply
    finally:
        await now(stream.close())


async def within(manager: Any, use: Callable[[Any], Awaitable[Any]]) -> Any:
    """What ``use`` makes of a context manager of either kind."""
    if hasattr(manager, "__aenter__"):
        async with manager as entered:
            return await use(entered)
    with manager as entered:
        return await use(entered)


async def stream(client: Any, folder: Path) -> Any:
    async def first(opened: Any) -> Any:
        pieces = []
        if hasattr(opened, "__aiter__"):
            async for piece in opened:
                pieces.append(piece)
                break
        else:
            for piece in opened:
                pieces.append(piece)
                break
        return pieces

    left_early = await within(await now(client.stream("What is it?", PHOTO)), first)
    return left_early, await read(client.stream("What is it?", PHOTO))


async def extract_stream(client: Any, folder: Path) -> Any:
    opened = await now(client.extract_stream(SCHEMA, PHOTO, prompt="Which animal?"))

    async def value(of: Any) -> Any:
        return of.value

    return await read(opened), await within(opened, value)


async def send(client: Any, folder: Path) -> Any:
    prepared = await now(client.prepare("What is it?", PHOTO))
    assert client.preparing()("What is it?", [PHOTO]) == prepared
    limited = await now(client.send(prepared, retry_rate_limits=False, seconds=20.0))
    return prepared, await now(client.send(prepared)), limited


async def send_extraction(client: Any, folder: Path) -> Any:
    from visionpipe.stages.extraction import Schema

    prepared = await now(client.prepare("Which animal?", PHOTO))
    return await now(client.send_extraction(prepared, Schema(SCHEMA), on_repeat=lambda reply: False))


async def conversation(client: Any, folder: Path) -> Any:
    talk = client.conversation(system="Be brief.")
    first = await now(talk.ask("Who is it?", PHOTO))
    other = talk.fork()
    streamed = await read(other.stream("And behind?"))
    path = folder / "talk.json"
    other.save(path)
    loaded = client.conversation(load=path)
    return first, streamed, talk.messages, other.messages, other.system, await now(loaded.ask("Where?"))


async def tasks(client: Any, folder: Path) -> Any:
    task = await now(client.tasks.submit("What is it?", PHOTO))
    found = await now(client.tasks.get("8239"))
    waited = [await now(task.wait()), await now(found.wait(30.0)), await now(client.tasks.wait("8239"))]
    return task, found, waited, await now(client.tasks.gather([task, "8240"]))


async def files(client: Any, folder: Path) -> Any:
    path = folder / "lines.jsonl"
    path.write_bytes(b"{}\n")
    uploaded = await now(client.files.upload(path, name="other.jsonl"))
    listed = await now(client.files.list("batch", limit=1))
    await now(client.files.save("f1", folder / "copy.jsonl"))
    return uploaded, listed, await now(client.files.delete("f1")), (folder / "copy.jsonl").read_bytes()


async def batches(client: Any, folder: Path) -> Any:
    prepared = await now(client.prepare("What is it?", PHOTO, model="glm-4v-plus-0111"))
    line = client.batches.line("item-1", prepared)
    paths = client.batches.write([("item-1", prepared)], folder / "in")
    made = await now(client.batches.create("f1", {"job": "mine"}))
    states = [
        await now(client.batches.get("b1")),
        await now(client.batches.list(limit=1)),
        await now(client.batches.cancel("b1")),
        await now(client.batches.wait(made, 30.0)),
    ]
    got = await now(client.batches.download("b1", folder / "out"))
    written = [path.read_bytes() for path in (*paths, *got)]
    return line.size, made, states, written, list(client.batches.read(got))


async def agents(client: Any, folder: Path) -> Any:
    return [
        await now(client.agents.invoke("a1", "Read it.", images=[LINK], variables={"pages": 2})),
        await read(client.agents.stream("a1", "Read it.", conversation_id="c1")),
        await within(await now(client.agents.stream("a1", "Read it.")), iterated),
        await now(client.agents.result("a1", "x")),
        await now(client.agents.wait("a1", "x", 30.0)),
    ]


async def applications(client: Any, folder: Path) -> Any:
    apps = client.agents.applications
    path = folder / "a.jpg"
    path.write_bytes(PHOTO)
    return [
        await now(apps.variables(APP)),
        await now(apps.conversation(APP)),
        await now(apps.upload(APP, path, unit_id="v1")),
        await now(apps.file_states(APP, ["f9"])),
        await now(apps.invoke(APP, "What is it?", conversation_id="c1")),
        await read(apps.stream(APP, "What is it?")),
    ]


async def fine_tuning(client: Any, folder: Path) -> Any:
    tuning = client.fine_tuning
    job = await now(tuning.create("glm-4-flash", "f1", suffix="mine", hyperparameters={"n_epochs": 2}))
    done = [
        await now(tuning.get("j1")),
        await now(tuning.list(limit=1)),
        await now(tuning.events("j1", limit=1)),
        await now(tuning.cancel("j1")),
        await now(tuning.wait(job, 30.0)),
    ]
    with pytest.raises(UnsupportedError) as refused:
        tuning.download("mine")
    return job, done, tuning.catalog_entry(job), refused.value


async def clips(client: Any, folder: Path) -> Any:
    clip = write_clip(folder / "clip.mp4", [texture(number // 25) for number in range(50)], group=25)
    spans: list[Any] = []
    timeline = await now(client.watch(clip, on_span=spans.append))
    return timeline, len(spans), await now(client.ask_clip("What happens?", clip))


async def refusals(client: Any, folder: Path) -> Any:
    found = []
    asked: list[Callable[[], Any]] = [
        lambda: client.ask("What?", folder / "none.jpg"),
        lambda: client.ask("What?", PHOTO, temperature=7.0),
        lambda: client.run_tools("What?", tools=[weather], model="glm-4v-plus-0111"),
        lambda: client.agents.invoke("a1", images=["a.jpg"]),
        lambda: client.batches.get("none"),
        lambda: client.stream("What?", model="no such model", extra={"x": 1}, nonsense=1),
    ]
    for ask in asked:
        try:
            found.append(await now(ask()))
        except VisionPipeError as error:
            found.append(error)
    with pytest.raises(TypeError, match="pickled"):
        client.__reduce__()
    return found


Case = Callable[[Any, Path], Awaitable[Any]]

CASES: dict[str, Case] = {
    "describe": lambda client, folder: now(client.describe(PHOTO)),
    "ask": lambda client, folder: now(client.ask("What is it?", PHOTO, PHOTO, max_side=40)),
    "stream": stream,
    "run_tools": lambda client, folder: now(client.run_tools("How is it?", PHOTO, tools=[weather])),
    "extract": lambda client, folder: now(client.extract(SCHEMA, PHOTO, prompt="Which animal?")),
    "extract_stream": extract_stream,
    "send": send,
    "send_extraction": send_extraction,
    "count_tokens": lambda client, folder: now(client.count_tokens("What is it?", PHOTO)),
    "conversation": conversation,
    "tasks": tasks,
    "files": files,
    "batches": batches,
    "agents": agents,
    "applications": applications,
    "fine_tuning": fine_tuning,
    "clips": clips,
    "refusals": refusals,
}


def played(kind: type, case: Case, folder: Path) -> tuple[Any, list[Any], list[float]]:
    """What a case gives on one of the clients, what was sent meanwhile, and the waits."""

    async def play(setup: dict[str, Any]) -> Any:
        async def use(client: Any) -> Any:
            return await case(client, folder)

        return await within(kind(**setup), use)

    folder.mkdir()
    clock = Clock()
    with serving(answer=answer) as loopback:
        setup = setup_for(loopback, clock, model="glm-4.6v")
        result = asyncio.run(play(_awaited(setup) if kind is vp.AsyncClient else setup))
        return plain(result, folder), sent(loopback), clock.sleeps


def sent(loopback: Loopback) -> list[Any]:
    """Every request but for what differs each time; in an order of its own, since clips ask at once."""
    found = []
    for seen in loopback.requests:
        body = re.sub(rb'"request_id":"[^"]*"', b"", seen.body)
        boundary = seen.headers.get("content-type", "").partition("boundary=")[2]
        found.append((seen.method, seen.path, body.replace(boundary.encode(), b"") if boundary else body))
    return sorted(found)


def plain(value: Any, folder: Path) -> Any:
    """A result as data that can be compared: without ids, times, folders, and which client it is of."""
    match value:
        case VisionPipeError():
            return type(value).__name__, value.code, plain(value.reason, folder), value.cure, value.attempts
        case str() | Path():
            return str(value).replace(str(folder), "")
        case dict():
            return {str(key): plain(one, folder) for key, one in value.items()}
        case list() | tuple():
            return [plain(one, folder) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        differ = ("request_id", "seconds", "_tasks")
        named = {
            field.name: getattr(value, field.name) for field in fields(value) if field.name not in differ
        }
        return type(value).__name__.removeprefix("Async"), plain(named, folder)
    return value


@pytest.mark.parametrize("name", CASES)
def test_both_clients_do_the_same(tmp_path: Path, name: str) -> None:
    blocking = played(vp.Client, CASES[name], tmp_path / "sync")
    awaited = played(vp.AsyncClient, CASES[name], tmp_path / "async")
    assert blocking == awaited
    assert blocking[1], "it asked nothing"


def classes() -> list[tuple[type, type]]:
    """What users get of the blocking client, each class with its twin."""
    found: list[tuple[type, type]] = []
    for module in pkgutil.iter_modules(generated.__path__):
        if module.name == "calls":
            continue
        blocking = importlib.import_module(f"visionpipe.client._sync.{module.name}")
        awaited = importlib.import_module(f"visionpipe.client._async.{module.name}")
        for name, kind in inspect.getmembers(blocking, inspect.isclass):
            if kind.__module__ == blocking.__name__:
                found.append((kind, getattr(awaited, f"Async{name}")))
    return found


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """The public functions of a class, those of properties too, and what makes it a manager or iterable."""
    special = ("__enter__", "__exit__", "__iter__", "__aenter__", "__aexit__", "__aiter__", "__reduce__")
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        function = value.fget if isinstance(value, property) else value
        # What a task has of the record it is made of is a value's, and no call.
        own = inspect.isfunction(function) and not function.__module__.startswith("visionpipe.wire")
        if own and (not name.startswith("_") or name in special):
            yield name, function


def test_a_case_plays_every_public_call(tmp_path: Path) -> None:
    entered: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        entered.add(frame.f_code)

    sys.setprofile(note)
    try:
        for number, case in enumerate(CASES.values()):
            played(vp.Client, case, tmp_path / f"sync-{number}")
            played(vp.AsyncClient, case, tmp_path / f"async-{number}")
    finally:
        sys.setprofile(None)
    offered = {
        f"{kind.__name__}.{name}": inspect.unwrap(function).__code__
        for pair in classes()
        for kind in pair
        for name, function in methods(kind)
    }
    assert len(offered) > 100
    assert [name for name, code in offered.items() if code not in entered] == []


@pytest.mark.parametrize(("blocking", "awaited"), classes(), ids=lambda kind: str(kind.__name__))
def test_both_offer_the_same_with_the_same_arguments(blocking: type, awaited: type) -> None:
    def offered(kind: type) -> dict[str, list[tuple[str, object]]]:
        return {
            name: [(one.name, one.default) for one in inspect.signature(function).parameters.values()]
            for name, function in methods(kind)
            if not name.startswith("_")
        }

    assert offered(blocking) == offered(awaited)
    assert offered(blocking)
