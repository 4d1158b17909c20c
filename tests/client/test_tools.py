"""The tool loop on both clients: run, asked again, failed, limited; and tools in plain calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.client.faces import Clock, Face, chat, event_stream, refusal, setup_for
from tests.client.service_faces import Calling, call_async, call_sync
from tests.loopback import Answer, Loopback
from visionpipe.client.tool_loop import ToolLimits
from visionpipe.errors import (
    AnswerError,
    ContextLimitError,
    EmptyAnswerError,
    ParameterError,
    RejectedRequestError,
    UnreadableAnswerError,
    UnsupportedError,
)
from visionpipe.reply import Reply, Source
from visionpipe.request import ToolCall
from visionpipe.stages.tools import FunctionTool, Retrieval, WebSearch
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox
from visionpipe.values import Usage

CHINA = Path(__file__).parent.parent.parent / "samples" / "china.jpg"


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """Tell the weather of a city."""
    if city == "Atlantis":
        raise LookupError("it sank")
    return {"city": city, "sky": ["rain"] * days}


def sandbox_setup(sandbox: SandboxHandle, **more: Any) -> dict[str, Any]:
    clock = Clock()
    return {
        "base_url": f"bigmodel+{sandbox.base_url}",
        "api_key": sandbox.key,
        "clock": clock,
        "sleep": clock.sleep,
        "model": "glm-4.6v",
        **more,
    }


def calls(*wanted: tuple[str, str], text: str | None = None, usage: int = 100) -> Answer:
    """An answer that asks for functions (name, arguments)."""
    asked = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(wanted)
    ]
    message = {"role": "assistant", "content": text, "tool_calls": asked}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    counted = {"prompt_tokens": usage, "completion_tokens": 10, "total_tokens": usage + 10}
    return Answer(body=orjson.dumps({"model": "glm-4.6v", "choices": [choice], "usage": counted}))


def sent(loopback: Loopback, number: int) -> Any:
    return loopback.requests[number].json()


def test_a_function_called_twice_once_with_broken_json_ends_in_an_answer(
    call: Calling, sandbox: SandboxHandle
) -> None:
    sandbox.set_scenario(
        {
            "answer": [
                {"calls": [{"name": "weather", "arguments": '{"city": "Oslo"'}]},
                {"calls": [{"name": "weather", "arguments": '{"city": "Oslo", "days": 2}'}]},
                {"text": "Rain on both days."},
            ]
        }
    )
    reply = call(sandbox_setup(sandbox), "run_tools", "What will it be like here?", CHINA, tools=[weather])
    assert reply.text == "Rain on both days."
    assert reply.tool_calls == ()
    broken, done = reply.tool_results
    assert (broken.name, broken.arguments) == ("weather", '{"city": "Oslo"')
    assert "no valid JSON" in broken.error
    assert (done.output, done.error) == ('{"city":"Oslo","sky":["rain","rain"]}', None)
    assert [note.kind for note in reply.notes] == ["tool_arguments"]
    assert len(reply.attempts) == 3
    assert [record["status"] for record in sandbox.log()] == [200, 200, 200]


def test_the_sandboxs_own_call_is_run_and_told(call: Calling, sandbox: SandboxHandle) -> None:
    reply = call(sandbox_setup(sandbox), "run_tools", "What is the weather?", CHINA, tools=[weather])
    assert reply.text == 'The function returned: {"city":"example","sky":["rain"]}'
    assert [result.name for result in reply.tool_results] == ["weather"]


def test_what_goes_over_the_wire(call: Calling, loopback: Loopback) -> None:
    loopback.script(
        calls(("weather", '{"city":'), text="Let me see."),
        calls(("weather", '{"city": "Oslo"}'), usage=200),
        chat("Rain."),
    )
    setup = setup_for(loopback, model="glm-4.6v")
    reply = call(
        setup, "run_tools", "What will it be?", tools=[weather], tool_choice="auto", system="Be brief."
    )
    assert reply.usage == Usage(1337, 57)
    first, second, third = (sent(loopback, n) for n in range(3))
    assert first["tools"][0]["function"]["name"] == "weather"
    assert first["tool_choice"] == "auto"
    # Broken arguments are quoted to the model, but no server has to parse them again.
    asked, told = second["messages"][2:]
    assert asked["content"] == "Let me see."
    assert asked["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}
    assert told["role"] == "tool"
    assert told["tool_call_id"] == asked["tool_calls"][0]["id"]
    assert "no valid JSON" in told["content"]
    assert '{"city":' in told["content"]
    assert third["messages"][:4] == second["messages"]
    asked, told = third["messages"][4:]
    assert asked["content"] is None
    assert asked["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'
    assert orjson.loads(told["content"]) == {"city": "Oslo", "sky": ["rain"]}
    ids = [seen.json()["request_id"] for seen in loopback.requests]
    assert len(set(ids)) == 3
    assert reply.request_id == ids[-1]


def test_several_calls_in_one_answer_are_all_run(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("weather", '{"city": "Oslo"}'), ("weather", '{"city": "Rome"}')), chat("Rain."))
    reply = call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Weather?", tools=[weather])
    assert [orjson.loads(result.output)["city"] for result in reply.tool_results] == ["Oslo", "Rome"]
    told = sent(loopback, 1)["messages"][-2:]
    assert [(m["role"], m["tool_call_id"]) for m in told] == [("tool", "call_0"), ("tool", "call_1")]


def test_a_function_that_raises_is_told_and_noted(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("weather", '{"city": "Atlantis"}')), chat("It sank."))
    reply = call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Weather?", tools=[weather])
    (result,) = reply.tool_results
    assert (result.error, type(result.exception)) == ("LookupError: it sank", LookupError)
    assert [(note.kind, note.detail) for note in reply.notes] == [
        ("tool_failed", "weather: LookupError: it sank")
    ]
    assert sent(loopback, 1)["messages"][-1]["content"] == "The function failed: LookupError: it sank"


def test_a_result_without_json_is_a_failure_too(call: Calling, loopback: Loopback) -> None:
    def thing() -> object:
        return object()

    loopback.script(calls(("thing", "")), chat("Strange."))
    reply = call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Thing?", tools=[thing])
    assert "Unable to serialize" in (reply.tool_results[0].error or "")


def test_an_invented_function_is_asked_for_again_once(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("climate", "{}")), calls(("weather", '{"city": "Oslo"}')), chat("Rain."))
    setup = setup_for(loopback, model="glm-4.6v")
    reply = call(setup, "run_tools", "Weather?", tools=[weather])
    assert reply.text == "Rain."
    assert "there is no function 'climate', only weather" in reply.tool_results[0].output
    loopback.script(calls(("climate", "{}")))
    with pytest.raises(UnreadableAnswerError, match="climate: the model asked for it twice"):
        call(setup, "run_tools", "Weather?", tools=[weather])


def test_two_broken_calls_in_one_answer_are_asked_for_once_more(call: Calling, loopback: Loopback) -> None:
    loopback.script(
        calls(("weather", '{"city":'), ("weather", "Rome"), ("weather", '{"city": "Bergen"}')),
        calls(("weather", '{"city": "Oslo"}')),
        chat("Rain."),
    )
    setup = setup_for(loopback, model="glm-4.6v")
    reply = call(setup, "run_tools", "What will it be?", tools=[weather])
    assert reply.text == "Rain."
    assert [bool(result.error) for result in reply.tool_results] == [True, True, False, False]
    # Broken in the next answer too, it is the end.
    loopback.script(
        calls(("weather", '{"city":'), ("weather", '{"city": "Bergen"}')),
        calls(("weather", "Rome")),
        chat("No."),
    )
    with pytest.raises(UnreadableAnswerError, match="twice"):
        call(setup, "run_tools", "What will it be?", tools=[weather])


def test_arguments_in_a_fence_are_read_and_sent_back_as_json(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("weather", '```json\n{"city": "Oslo"}\n```')), chat("Rain."))
    call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Weather?", tools=[weather])
    (echoed,) = sent(loopback, 1)["messages"][-2]["tool_calls"]
    assert echoed["function"]["arguments"] == '{"city": "Oslo"}'


def test_arguments_broken_twice_end_the_loop_with_what_was_done(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("weather", '{"city": "Rome"}')), calls(("weather", "[")), calls(("weather", "{}")))
    with pytest.raises(UnreadableAnswerError, match="city: Field required") as caught:
        call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Weather?", tools=[weather])
    assert caught.value.code == "tool_arguments"
    assert len(loopback.requests) == 3
    reply = caught.value.reply
    assert reply is not None
    assert [result.error is None for result in reply.tool_results] == [True, False, False]
    assert reply.usage == Usage(300, 30)


def test_broken_arguments_are_counted_anew_after_good_ones(call: Calling, loopback: Loopback) -> None:
    good, bad = calls(("weather", '{"city": "Rome"}')), calls(("weather", "{"))
    loopback.script(bad, good, bad, good, chat("Rain."))
    reply = call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Weather?", tools=[weather])
    assert [result.error is None for result in reply.tool_results] == [False, True, False, True]


def test_the_loop_ends_after_its_rounds(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("weather", '{"city": "Rome"}')))
    setup = setup_for(loopback, model="glm-4.6v")
    with pytest.raises(AnswerError, match="after 3 rounds") as caught:
        call(setup, "run_tools", "Weather?", tools=[weather], limits=ToolLimits(rounds=3))
    assert caught.value.code == "tool_limit"
    assert len(loopback.requests) == 4
    assert caught.value.reply is not None
    assert len(caught.value.reply.tool_results) == 3
    assert caught.value.reply.usage == Usage(400, 40)


def test_the_loop_ends_when_its_time_is_up(call: Calling, loopback: Loopback) -> None:
    clock = Clock()

    def slow(city: str) -> str:
        clock.now += 40
        return "rain"

    loopback.script(calls(("slow", '{"city": "Rome"}')))
    setup = setup_for(loopback, clock, model="glm-4.6v")
    with pytest.raises(AnswerError, match="no answer after 100 seconds") as caught:
        call(setup, "run_tools", "Weather?", tools=[slow], limits=ToolLimits(seconds=100))
    assert caught.value.code == "tool_limit"
    assert len(loopback.requests) == 3


@pytest.mark.parametrize("limits", [{"rounds": 0}, {"seconds": 0}])
def test_limits_that_allow_nothing(limits: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="limits"):
        ToolLimits(**limits)


def test_an_error_on_the_way_tells_what_was_run(call: Calling, loopback: Loopback) -> None:
    loopback.script(calls(("weather", '{"city": "Rome"}')), refusal(400, "1214"))
    setup = setup_for(loopback, model="glm-4.6v")
    with pytest.raises(RejectedRequestError) as caught:
        call(setup, "run_tools", "Weather?", tools=[weather])
    assert caught.value.__notes__ == ["Functions run before: weather."]
    loopback.script(calls(("weather", '{"city": "Rome"}')), chat(""))
    with pytest.raises(EmptyAnswerError) as empty:
        call(setup, "run_tools", "Weather?", tools=[weather])
    assert empty.value.reply is not None
    assert len(empty.value.reply.tool_results) == 1


def test_a_result_too_long_for_the_context_costs_no_request(call: Calling, loopback: Loopback) -> None:
    def book() -> str:
        return "word " * 120_000

    loopback.script(calls(("book", "{}")))
    with pytest.raises(ContextLimitError, match=r"glm-4\.6v has room for"):
        call(setup_for(loopback, model="glm-4.6v"), "run_tools", "Read.", tools=[book])
    assert len(loopback.requests) == 1


def test_asynchronous_functions_are_awaited_and_plain_ones_leave_the_loop(loopback: Loopback) -> None:
    where: list[bool] = []

    async def later(city: str) -> str:
        await asyncio.sleep(0)
        where.append(threading.current_thread() is threading.main_thread())
        return f"{city} later"

    def now(city: str) -> str:
        where.append(threading.current_thread() is threading.main_thread())
        return f"{city} now"

    loopback.script(calls(("later", '{"city": "Rome"}'), ("now", '{"city": "Rome"}')), chat("Rain."))
    setup = setup_for(loopback, model="glm-4.6v")
    reply = call_async(setup, "run_tools", "Weather?", tools=[later, now])
    assert [result.output for result in reply.tool_results] == ["Rome later", "Rome now"]
    assert where == [True, False]
    with pytest.raises(ParameterError, match="later: the function is asynchronous"):
        call_sync(setup, "run_tools", "Weather?", tools=[later])
    assert len(loopback.requests) == 2


def test_a_coroutine_in_disguise(loopback: Loopback) -> None:
    async def later() -> str:
        return "later"

    tool = FunctionTool("disguised", "", {"type": "object"}, lambda: later())
    setup = setup_for(loopback, model="glm-4.6v")
    for run, output in ((call_async, "later"), (call_sync, "The function failed: TypeError: ")):
        loopback.script(calls(("disguised", "{}")), chat("Done."))
        reply = run(setup, "run_tools", "Go.", tools=[tool])
        assert reply.tool_results[0].output.startswith(output)


def test_a_mixture_is_refused_and_resolved_on_request(call: Calling, sandbox: SandboxHandle) -> None:
    setup = sandbox_setup(sandbox)
    mixture = [WebSearch(), weather]
    with pytest.raises(ParameterError, match="function > retrieval > web_search"):
        call(setup, "run_tools", "What is the weather?", tools=mixture)
    assert sandbox.stats()["requests"] == 0
    reply = call(setup, "run_tools", "What is the weather?", tools=mixture, prefer_priority=True)
    assert [result.name for result in reply.tool_results] == ["weather"]
    assert [(a.kind, a.subject) for a in reply.adjustments] == [("dropped", "tools: web_search")]


def test_a_model_without_functions_is_told_before_anything_is_sent(
    call: Calling, sandbox: SandboxHandle
) -> None:
    with pytest.raises(UnsupportedError, match=r"glm-4\.5v takes no tools of the kind function"):
        call(sandbox_setup(sandbox, model="glm-4.5v"), "run_tools", "Weather?", tools=[weather])
    with pytest.raises(UnsupportedError, match="'required' is not known here"):
        call(sandbox_setup(sandbox), "ask", "Weather?", tools=[weather], tool_choice="required")
    assert sandbox.stats()["requests"] == 0


def test_a_function_only_described_is_for_ask(face: Face, call: Calling, loopback: Loopback) -> None:
    described = FunctionTool("weather", "Tell it.", {"type": "object"})
    loopback.script(calls(("weather", "{}")))
    setup = setup_for(loopback, model="glm-4.6v")
    with pytest.raises(ParameterError, match="no function behind it"):
        call(setup, "run_tools", "Weather?", tools=[described])
    reply = face.ask("Weather?", setup=setup, tools=[described])
    assert reply.tool_calls == (ToolCall("call_0", "weather", "{}"),)
    assert len(loopback.requests) == 1


@pytest.fixture(scope="module")
def searching() -> Iterator[dict[str, Any]]:
    """A client's setup for a sandbox that has a text model, which the catalog does not know."""
    with running_sandbox(models=("some-text-model",)) as sandbox:
        yield sandbox_setup(sandbox, model="some-text-model")


def test_web_search_is_switched_on_and_tells_its_sources(
    face: Face, call: Calling, searching: dict[str, Any]
) -> None:
    tools = [WebSearch(count=2)]
    replies: list[Reply] = [
        face.ask("Who won?", setup=searching, tools=tools),
        face.stream("Who won?", setup=searching, tools=tools)[1],
        call(searching, "run_tools", "Who won?", tools=tools),
    ]
    for reply in replies:
        assert [source.refer for source in reply.sources] == ["ref_1", "ref_2"]
        assert reply.sources[0] == Source(
            title="Result 1 for: Who won?",
            link="https://example.com/1",
            content="A page that the sandbox made up.",
            media="example.com",
            refer="ref_1",
        )
        assert reply.to_json()["sources"] == [source.to_json() for source in reply.sources]


def test_a_search_switched_off_finds_nothing(face: Face, searching: dict[str, Any]) -> None:
    assert face.ask("Who won?", setup=searching, tools=[WebSearch(enable=False)]).sources == ()
    assert face.ask("Who won?", setup=searching, tools=[WebSearch(search_result=False)]).sources == ()


def test_retrieval_is_sent_with_its_knowledge_base(face: Face, loopback: Loopback) -> None:
    loopback.script(chat("Page 4."))
    setup = setup_for(loopback, model="glm-4-air")
    face.ask("Where?", setup=setup, tools=[Retrieval("kb-1")])
    assert sent(loopback, 0)["tools"] == [{"type": "retrieval", "retrieval": {"knowledge_id": "kb-1"}}]


def test_streamed_calls_are_put_together(face: Face, loopback: Loopback) -> None:
    def frame(delta: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": delta}]}) + b"\n\n"

    def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **more, "function": {"arguments": arguments}}]}

    named = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    body = event_stream("")
    loopback.script(
        Answer(
            body=[
                frame({"tool_calls": [{"index": 0, **named}]}),
                frame(piece(0, '{"city"')),
                frame(piece(0, ': "Oslo"}')),
                *body.body[1:],
            ],
            headers=body.headers,
        )
    )
    _, reply = face.stream("Weather?", setup=setup_for(loopback, model="glm-4.6v"), tools=[weather])
    assert reply.tool_calls == (ToolCall("c1", "weather", '{"city": "Oslo"}'),)
