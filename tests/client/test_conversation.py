"""Conversations on both clients: what is sent with each turn, what is left out, kept, saved and forked."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest

from tests.client.faces import KEY, Clock, _awaited, chat, event_stream, refusal, setup_for
from tests.loopback import Answer, Loopback
from visionpipe.client import AsyncClient, Client
from visionpipe.client.conversation_file import load_conversation, save_conversation
from visionpipe.errors import (
    ContextLimitError,
    InputError,
    InterruptedAnswerError,
    OutputError,
    ParameterError,
    RejectedRequestError,
    UnreadableSourceError,
    UnsupportedError,
    VisionPipeError,
)
from visionpipe.images.load import IN_MEMORY_BYTES
from visionpipe.media import FileContent, Image, LinkedImage, MemoryContent, Text
from visionpipe.reply import Reply
from visionpipe.request import Message
from visionpipe.stages.history import Transcript
from visionpipe.testing.images import png_bytes
from visionpipe.testing.sandbox import SandboxHandle

SAMPLES = Path(__file__).parent.parent.parent / "samples"
CHINA = SAMPLES / "china.jpg"
COFFEE = SAMPLES / "coffee.png"
LINK = "https://example.com/a.jpg"
EMPTY: dict[str, Any] = {
    "visionpipe_conversation": 1,
    "system": None,
    "calibration": {"factor": 1.0, "per_medium": 0},
    "messages": [],
}
# Beyond this size images stay on disk until they are sent.
LARGE = png_bytes() + bytes(IN_MEMORY_BYTES)


class Talk(Protocol):
    """A conversation of either client, as plain calls; an error is given back instead of raised."""

    messages: tuple[Message, ...]
    system: str | None

    def ask(self, prompt: str, *images: Any, **options: Any) -> Any: ...
    def stream(self, prompt: str, *images: Any, **options: Any) -> Any: ...
    def save(self, path: Path, *, embed: bool = False) -> None: ...
    def fork(self) -> Talk: ...


Talking = Callable[[dict[str, Any], Callable[[Any], Any]], Any]


class SyncTalk:
    def __init__(self, talk: Any) -> None:
        self.talk = talk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.talk, name)

    def stream(self, prompt: str, *images: Any, **options: Any) -> Reply:
        with self.talk.stream(prompt, *images, **options) as stream:
            assert "".join(stream) == stream.reply.text
            found: Reply = stream.reply
            return found

    def fork(self) -> SyncTalk:
        return type(self)(self.talk.fork())


class AsyncTalk(SyncTalk):
    def __init__(self, talk: Any, runner: asyncio.Runner | None = None) -> None:
        super().__init__(talk)
        self.runner = runner

    def ask(self, prompt: str, *images: Any, **options: Any) -> Reply:
        assert self.runner is not None
        reply: Reply = self.runner.run(self.talk.ask(prompt, *images, **options))
        return reply

    def stream(self, prompt: str, *images: Any, **options: Any) -> Reply:
        async def run() -> Reply:
            async with await self.talk.stream(prompt, *images, **options) as stream:
                assert "".join([piece async for piece in stream]) == stream.reply.text
                found: Reply = stream.reply
                return found

        assert self.runner is not None
        return self.runner.run(run())

    def fork(self) -> AsyncTalk:
        return AsyncTalk(self.talk.fork(), self.runner)


class Room(Protocol):
    """Opens conversations with one client."""

    def __call__(self, setup: dict[str, Any], **options: Any) -> Any: ...


@pytest.fixture(params=["sync", "async"])
def begin(request: pytest.FixtureRequest) -> Any:
    """A conversation of a new client of either kind; the clients are closed at the end."""
    if request.param == "sync":
        clients: list[Client] = []

        def open_sync(setup: dict[str, Any], **options: Any) -> SyncTalk:
            clients.append(Client(**setup))
            return SyncTalk(clients[-1].conversation(**options))

        yield open_sync
        for client in clients:
            client.close()
        return
    with asyncio.Runner() as runner:
        others: list[AsyncClient] = []

        def open_async(setup: dict[str, Any], **options: Any) -> AsyncTalk:
            others.append(AsyncClient(**_awaited(setup)))
            return AsyncTalk(others[-1].conversation(**options), runner)

        yield open_async
        for other in others:
            runner.run(other.close())


def sent(loopback: Loopback, number: int = -1) -> list[Any]:
    messages: list[Any] = loopback.requests[number].json()["messages"]
    return messages


def sandbox_setup(sandbox: SandboxHandle, **more: Any) -> dict[str, Any]:
    clock = Clock()
    return {
        "base_url": f"bigmodel+{sandbox.base_url}",
        "api_key": sandbox.key,
        "clock": clock,
        "sleep": clock.sleep,
        **more,
    }


def test_each_turn_brings_what_was_said_and_shown(begin: Room, loopback: Loopback) -> None:
    loopback.script(chat("A pavilion."), chat("A cup."), event_stream("The ", "cup."))
    talk = begin(setup_for(loopback, model="glm-4v-plus-0111"), system="Be brief.", temperature=0.2)
    assert talk.ask("What is it?", CHINA).text == "A pavilion."
    talk.ask("And this?", COFFEE, max_tokens=50)
    assert talk.stream("Which is hot?").text == "The cup."
    first, second, third = (sent(loopback, n) for n in range(3))
    assert first[0] == {"role": "system", "content": "Be brief."}
    assert second[:2] == first
    assert second[2] == {"role": "assistant", "content": "A pavilion."}
    assert third[:4] == second
    assert third[4:] == [
        {"role": "assistant", "content": "A cup."},
        {"role": "user", "content": [{"type": "text", "text": "Which is hot?"}]},
    ]
    images = [third[at]["content"][0]["image_url"]["url"] for at in (1, 3)]
    assert [base64.b64decode(image) for image in images] == [CHINA.read_bytes(), COFFEE.read_bytes()]
    bodies = [seen.json() for seen in loopback.requests]
    assert [body.get("max_tokens") for body in bodies] == [None, 50, None]
    assert {body["temperature"] for body in bodies} == {0.2}
    assert [message.role for message in talk.messages] == ["user", "assistant"] * 3
    assert talk.messages[-1].parts == (Text("The cup."),)
    assert talk.system == "Be brief."


def test_older_images_become_text_for_a_model_of_one_image(begin: Room, sandbox: SandboxHandle) -> None:
    talk = begin(sandbox_setup(sandbox, model="glm-4v-flash"))
    talk.ask("What is it?", CHINA)
    about = talk.ask("And this?", COFFEE)
    assert [(a.kind, a.subject) for a in about.adjustments] == [
        ("doubt", str(COFFEE)),
        ("left_out", str(CHINA)),
    ]
    reply = talk.ask("Which is hot?")
    assert [a.kind for a in reply.adjustments] == ["left_out"]
    assert [len(record["media"]) for record in sandbox.log()] == [1, 1, 1]
    assert {record["media"][0]["width"] for record in sandbox.log()[1:]} == {600}
    assert len([p for m in talk.messages for p in m.parts if not isinstance(p, Text)]) == 2


@pytest.fixture
def on_16k(tmp_path: Path) -> str:
    """A catalog in which glm-4v-flash has 16,384 tokens of context, of which 1,024 are for the answer."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text('[[model]]\nid = "glm-4v-flash"\ncontext_tokens = 16_384\n')
    return str(catalog)


def test_thirty_turns_on_16k_stay_within_the_context(
    begin: Room, sandbox: SandboxHandle, on_16k: str
) -> None:
    paragraph = "Tell me more about the roof, the pond, the trees and whoever is standing at the gate. " * 40
    setup = sandbox_setup(sandbox, model="glm-4v-flash", catalog=on_16k)
    talk = begin(setup, system="You are a guide.")
    replies = [talk.ask("What is it?", CHINA)]
    replies += [talk.ask(f"Turn {turn}. {paragraph}") for turn in range(2, 31)]
    assert len(replies) == 30
    assert {record["status"] for record in sandbox.log()} == {200}
    assert max(reply.usage.prompt_tokens for reply in replies) <= 16_384 - 1024
    assert min(reply.usage.prompt_tokens for reply in replies[-5:]) > 12_000
    notes = [[a for a in reply.adjustments if a.kind == "trimmed"] for reply in replies]
    began = next(turn for turn, found in enumerate(notes) if found)
    assert 5 < began < 29
    assert all(len(found) == 1 for found in notes[began:])
    assert "of 29 earlier exchanges left out, the oldest" in notes[-1][0].detail
    assert "glm-4v-flash has room for 15,360" in notes[-1][0].detail
    assert len(talk.messages) == 60


def test_the_system_text_and_the_newest_turn_are_never_trimmed(
    begin: Room, loopback: Loopback, on_16k: str
) -> None:
    loopback.script(answer=lambda seen: chat("Yes. " * 10))
    setup = setup_for(loopback, model="glm-4v-flash", catalog=on_16k)
    talk = begin(setup, system="Be brief.")
    for _ in range(3):
        talk.ask("word " * 8000)
    assert [message["role"] for message in sent(loopback)] == ["system", "user"]
    with pytest.raises(ContextLimitError):
        talk.ask("word " * 13_000)
    assert len(loopback.requests) == 3
    assert len(talk.messages) == 6


def test_a_model_without_a_system_role_gets_it_before_the_first_text(begin: Room, loopback: Loopback) -> None:
    loopback.script(answer=lambda seen: chat("Yes."))
    talk = begin(setup_for(loopback, model="glm-4v"), system="Be brief.")
    talk.ask("One?", CHINA)
    reply = talk.ask("Two?")
    texts = [
        part["text"] for m in sent(loopback) if m["role"] == "user" for part in m["content"] if "text" in part
    ]
    assert texts == ["Be brief.\n\nOne?", "Two?"]
    assert [a.kind for a in reply.adjustments] == ["moved"]
    assert talk.messages[0].parts[-1] == Text("One?")


@pytest.mark.parametrize("way", ["ask", "stream"])
def test_a_failed_turn_leaves_the_history_as_it_was(begin: Room, loopback: Loopback, way: str) -> None:
    talk = begin(setup_for(loopback))
    loopback.script(chat("A pavilion."))
    talk.ask("What is it?", CHINA)
    before = talk.messages
    broken = event_stream("A ", "ca", done=False)
    failures: list[tuple[Answer, type[VisionPipeError]]] = [
        (refusal(400, "1214"), RejectedRequestError),
    ]
    if way == "stream":
        failures.append((Answer(body=broken.body, headers=broken.headers), InterruptedAnswerError))
    for answer, kind in failures:
        loopback.script(answer)
        with pytest.raises(kind):
            getattr(talk, way)("And this?", COFFEE)
        assert talk.messages == before
    loopback.script(chat("A cup.") if way == "ask" else event_stream("A cup."))
    getattr(talk, way)("And this?", COFFEE)
    assert talk.messages[:2] == before
    assert len(talk.messages) == 4


def test_a_fork_goes_its_own_way(begin: Room, loopback: Loopback) -> None:
    loopback.script(answer=lambda seen: chat("Yes."))
    talk = begin(setup_for(loopback))
    talk.ask("One?")
    other = talk.fork()
    talk.ask("Two?")
    other.ask("Three?")
    assert [m.parts[0] for m in talk.messages if m.role == "user"] == [Text("One?"), Text("Two?")]
    assert [m.parts[0] for m in other.messages if m.role == "user"] == [Text("One?"), Text("Three?")]


def test_functions_are_run_within_a_turn_and_stay_in_the_history(begin: Room, sandbox: SandboxHandle) -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"

    talk = begin(sandbox_setup(sandbox, model="glm-4.6v"), tools=[weather])
    reply = talk.ask("What is the weather here?", CHINA)
    assert reply.text == "The function returned: rain in example"
    assert [m.role for m in talk.messages] == ["user", "assistant", "tool", "assistant"]
    assert talk.ask("And tomorrow?").tool_results[0].output == "rain in example"
    with pytest.raises(UnsupportedError, match="not run while an answer is streamed"):
        talk.stream("And later?")
    reply = talk.ask("In short?", model="glm-4.5v", tools=[])
    assert [(a.kind, a.subject) for a in reply.adjustments] == [("left_out", "history")]
    assert len(talk.messages) == 10


@pytest.mark.parametrize("embed", [False, True])
def test_a_conversation_is_saved_and_goes_on(
    begin: Room, loopback: Loopback, tmp_path: Path, embed: bool
) -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return "rain"

    asked = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "X"}'}}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [asked]}}
    loopback.script(
        Answer(body=orjson.dumps({"choices": [choice]})), chat("Rain."), chat("Two."), chat("A link.")
    )
    picture = tmp_path / "a.png"
    picture.write_bytes(LARGE)
    memory = png_bytes(40, 30)
    setup = setup_for(loopback, model="glm-4.6v")
    talk = begin(setup, system="Be brief.", tools=[weather])
    talk.ask("Weather?")
    talk.ask("These?", picture, memory)
    talk.ask("This?", LINK)
    path = tmp_path / "talk.json"
    talk.save(path, embed=embed)
    saved = orjson.loads(path.read_bytes())
    assert saved["visionpipe_conversation"] == 1
    kept = [part for m in saved["messages"] for part in m["parts"] if part["type"] == "image"]
    assert ["path" in part for part in kept] == [not embed, False]
    assert base64.b64decode(kept[1]["base64"]) == memory
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []
    loopback.script(answer=lambda seen: chat("Yes."))
    again = begin(setup, load=path)
    assert again.system == "Be brief."
    assert [m.role for m in again.messages] == [m.role for m in talk.messages]
    assert again.messages[-2].parts[0] == LinkedImage(LINK)
    again.ask("So?")
    before = sent(loopback)
    talk.ask("So?", tools=[])
    assert sent(loopback) == before
    assert begin(setup, load=path, system="Be kind.").system == "Be kind."


def test_an_image_changed_on_disk_is_not_sent_unnoticed(
    begin: Room, loopback: Loopback, tmp_path: Path
) -> None:
    loopback.script(answer=lambda seen: chat("Yes."))
    picture = tmp_path / "a.png"
    picture.write_bytes(LARGE)
    talk = begin(setup_for(loopback))
    talk.ask("What?", picture)
    talk.save(tmp_path / "talk.json")
    picture.write_bytes(LARGE + b"\0")
    with pytest.raises(UnreadableSourceError, match=r"a\.png"):
        begin(setup_for(loopback), load=tmp_path / "talk.json").ask("Again?")
    picture.unlink()
    with pytest.raises(UnreadableSourceError, match=r"a\.png"):
        talk.save(tmp_path / "other.json", embed=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        orjson.dumps({**EMPTY, "visionpipe_conversation": 2}),
        orjson.dumps({**EMPTY, "messages": [{"role": "king", "parts": []}]}),
        orjson.dumps({**EMPTY, "messages": [{"role": "user", "parts": [{"type": "image"}]}]}),
    ],
)
def test_a_file_that_is_no_conversation(content: bytes, tmp_path: Path, loopback: Loopback) -> None:
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    with Client(base_url=f"bigmodel+{loopback.url}", api_key=KEY) as client:
        with pytest.raises(InputError, match="holds no conversation") as caught:
            client.conversation(load=path)
        assert caught.value.subject == str(path)
        with pytest.raises(UnreadableSourceError, match="no such file"):
            client.conversation(load=tmp_path / "nothing.json")
        with pytest.raises(OutputError, match="cannot be written"):
            client.conversation().save(tmp_path / "no" / "talk.json")


def test_wrong_options_cost_no_request(begin: Room, loopback: Loopback) -> None:
    with pytest.raises(ParameterError, match="there is no such option"):
        begin(setup_for(loopback), colour=3)
    talk = begin(setup_for(loopback))
    with pytest.raises(ParameterError, match="there is no such option"):
        talk.ask("What?", colour=3)
    with pytest.raises(UnsupportedError, match="turn of a conversation"):
        begin(setup_for(loopback, model="glm-4v-flash")).ask("What?", CHINA, COFFEE, on_too_many="split")
    assert loopback.requests == []
    assert talk.messages == ()


def test_what_changed_since_it_was_shown_is_not_embedded(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"shown")
    found = photo.stat()
    content = FileContent(str(photo), found.st_size, found.st_mtime_ns)
    image = Image("photo.png", content, "png", 1, 1)
    transcript = Transcript((Message("user", (image,)),))
    target = tmp_path / "talk.json"
    save_conversation(target, transcript, None, embed=True)
    assert base64.b64encode(b"shown") in (before := target.read_bytes())
    photo.write_bytes(b"another one")
    with pytest.raises(UnreadableSourceError, match="changed"):
        save_conversation(target, transcript, None, embed=True)
    assert target.read_bytes() == before


def test_all_that_is_known_of_an_image_is_saved(tmp_path: Path) -> None:
    image = Image(
        "photo.png",
        MemoryContent(b"shown"),
        "png",
        3,
        2,
        6,
        "grey",
        16,
        alpha=True,
        frames=4,
        wide_gamut=True,
    )
    path = tmp_path / "talk.json"
    save_conversation(path, Transcript((Message("user", (image,)),)), None, embed=False)
    assert load_conversation(path)[0].messages[0].parts == (image,)
    record = orjson.loads(path.read_bytes())
    del record["messages"][0]["parts"][0]["wide_gamut"]  # as earlier versions wrote it
    path.write_bytes(orjson.dumps(record))
    assert load_conversation(path)[0].messages[0].parts == (replace(image, wide_gamut=False),)
