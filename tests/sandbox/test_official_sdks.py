"""Clients that others wrote, pointed at the sandbox: the official zai-sdk, and the openai package."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, cast

import openai
import orjson
import pytest
import zai
from zai.core import _errors as zai_errors

from tests.sandbox.calls import JPEG, PNG, chat
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

MODEL = "glm-4.6v"
BATCHED = "glm-4v-plus-0111"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def shown(*urls: str, words: str = "What is this?") -> Any:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": words}]}]


@pytest.fixture
def glm(sandbox: SandboxHandle) -> Iterator[Any]:
    with zai.ZhipuAiClient(
        api_key=sandbox.key, base_url=sandbox.base_url, timeout=10, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def plain(sandbox: SandboxHandle) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=sandbox.key, base_url=sandbox.openai_url, timeout=10, max_retries=0) as client:
        yield client


def test_zai_sends_an_image_and_two(glm: Any) -> None:
    one = glm.chat.completions.create(model=MODEL, messages=shown(base64_of(PNG)))
    assert hashlib.sha256(PNG).hexdigest() in one.choices[0].message.content
    assert one.usage.total_tokens == one.usage.prompt_tokens + one.usage.completion_tokens
    # The SDK takes the prefix of a data URI off before it sends it.
    two = glm.chat.completions.create(
        model=MODEL, messages=shown(f"data:image/png;base64,{base64_of(PNG)}", base64_of(JPEG))
    )
    said = two.choices[0].message.content
    assert "I see 2 images" in said and hashlib.sha256(JPEG).hexdigest() in said


def test_zai_with_a_jwt(sandbox: SandboxHandle) -> None:
    with zai.ZhipuAiClient(
        api_key=sandbox.key, base_url=sandbox.base_url, timeout=10, max_retries=0, disable_token_cache=False
    ) as client:
        answer = client.chat.completions.create(model=MODEL, messages=shown(base64_of(PNG)))
    assert answer.choices[0].message.content


def test_zai_streams_to_the_end_with_usage(glm: Any) -> None:
    chunks = list(glm.chat.completions.create(model=MODEL, messages=shown(base64_of(PNG)), stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    thought = "".join(chunk.choices[0].delta.reasoning_content or "" for chunk in chunks)
    assert hashlib.sha256(PNG).hexdigest() in said and thought
    assert chunks[-1].choices[0].finish_reason == "stop" and chunks[-1].usage.total_tokens > 0


def test_zai_submits_a_task_and_takes_its_result(glm: Any) -> None:
    task = glm.chat.asyncCompletions.create(model=MODEL, messages=shown(base64_of(PNG)))
    assert task.task_status == "PROCESSING"
    states = [glm.chat.asyncCompletions.retrieve_completion_result(task.id) for _ in range(2)]
    assert [state.task_status for state in states] == ["PROCESSING", "SUCCESS"]
    assert "png 40x30" in states[1].choices[0].message.content


def test_zai_uploads_a_file_and_runs_a_batch(glm: Any) -> None:
    lines = [
        {
            "custom_id": f"request-{n}",
            "method": "POST",
            "url": "/v4/chat/completions",
            "body": chat(model=BATCHED),
        }
        for n in range(3)
    ]
    data = b"\n".join(orjson.dumps(line) for line in lines)
    file = glm.files.create(file=("in.jsonl", data), purpose="batch")
    assert file.bytes == len(data)
    assert file.id in [listed.id for listed in glm.files.list(purpose="batch").data]
    batch = glm.batches.create(input_file_id=file.id, endpoint=cast(Any, "/v4/chat/completions"))
    states = [glm.batches.retrieve(batch.id) for _ in range(4)]
    assert [state.status for state in states] == ["validating", "in_progress", "finalizing", "completed"]
    assert states[-1].request_counts.completed == 3
    out = glm.files.content(states[-1].output_file_id).content.splitlines()
    assert [orjson.loads(line)["custom_id"] for line in out] == ["request-0", "request-1", "request-2"]
    assert glm.files.delete(states[-1].output_file_id).deleted
    assert batch.id in [listed.id for listed in glm.batches.list()]


def test_zai_calls_a_function_and_brings_its_result(glm: Any) -> None:
    messages = shown(base64_of(PNG), words="What is the weather there?")
    asked = glm.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    (call,) = asked.choices[0].message.tool_calls
    assert asked.choices[0].finish_reason == "tool_calls"
    assert orjson.loads(call.function.arguments) == {"city": "example"}
    messages += [
        asked.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    answer = glm.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert "18 degrees" in answer.choices[0].message.content


def test_zai_asks_an_agent(glm: Any) -> None:
    content = [{"type": "image_url", "image_url": "https://example.com/a.png"}]
    answer = glm.agents.invoke(agent_id="receipt_agent", messages=[{"role": "user", "content": content}])
    assert answer.agent_id == "receipt_agent" and answer.usage.total_tokens > 0


def test_zai_raises_its_own_errors(sandbox: SandboxHandle, glm: Any) -> None:
    def raised(error: type[Exception], model: str = MODEL, **fields: Any) -> str:
        with pytest.raises(error) as caught:
            glm.chat.completions.create(model=model, messages=shown(base64_of(PNG)), **fields)
        return str(caught.value)

    assert "1211" in raised(zai_errors.APIRequestFailedError, model="none")
    assert "1214" in raised(zai_errors.APIRequestFailedError, max_tokens=0)
    for code, error in (
        ("1302", zai_errors.APIReachLimitError),
        ("1113", zai_errors.APIReachLimitError),
        ("1230", zai_errors.APIInternalError),
        ("503", zai_errors.APIServerFlowExceedError),
        ("1220", zai_errors.APIStatusError),
    ):
        sandbox.set_scenario({"rule": [{"fault": {"kind": "error", "code": code}}]})
        assert code in raised(error)
    sandbox.set_scenario({"rule": [{"fault": {"kind": "reset"}}]})
    raised(zai_errors.APIConnectionError)
    with (
        zai.ZhipuAiClient(api_key="wrong.key", base_url=sandbox.base_url, max_retries=0) as stranger,
        pytest.raises(zai_errors.APIAuthenticationError),
    ):
        stranger.chat.completions.create(model=MODEL, messages=shown(base64_of(PNG)))


def test_openai_sends_an_image_and_two(plain: openai.OpenAI) -> None:
    urls = [f"data:image/png;base64,{base64_of(PNG)}", f"data:image/jpeg;base64,{base64_of(JPEG)}"]
    for count in (1, 2):
        answer = plain.chat.completions.create(model=MODEL, messages=shown(*urls[:count]))
        said = answer.choices[0].message.content or ""
        assert f"I see {count} image" in said and hashlib.sha256(PNG).hexdigest() in said
        assert answer.usage is not None and answer.usage.total_tokens > 0


def test_openai_streams_to_the_end_with_usage(plain: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64_of(PNG)}"
    stream = plain.chat.completions.create(
        model=MODEL, messages=shown(url), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert hashlib.sha256(PNG).hexdigest() in said
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens > 0 and not chunks[-1].choices


def test_openai_calls_a_function(plain: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64_of(PNG)}"
    messages = shown(url)
    asked = plain.chat.completions.create(model=MODEL, messages=messages, tools=cast(Any, [WEATHER]))
    message = asked.choices[0].message
    assert message.tool_calls is not None
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}
    answer = plain.chat.completions.create(
        model=MODEL, messages=cast(Any, [*messages, message.model_dump(exclude_none=True), result])
    )
    assert "18 degrees" in (answer.choices[0].message.content or "")


def test_openai_lists_models(plain: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in plain.models.list()]


def test_openai_raises_its_own_errors(sandbox: SandboxHandle, plain: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64_of(PNG)}"
    with pytest.raises(openai.NotFoundError):
        plain.chat.completions.create(model="gpt-9", messages=shown(url))
    with pytest.raises(openai.BadRequestError):
        plain.chat.completions.create(model=MODEL, messages=shown(url), temperature=9)
    with pytest.raises(openai.AuthenticationError):
        plain.with_options(api_key="wrong.key").chat.completions.create(model=MODEL, messages=shown(url))
    for code, error in (
        ("1302", openai.RateLimitError),
        ("1230", openai.InternalServerError),
        ("1220", openai.PermissionDeniedError),
    ):
        sandbox.set_scenario({"rule": [{"fault": {"kind": "error", "code": code}}]})
        with pytest.raises(error):
            plain.chat.completions.create(model=MODEL, messages=shown(url))
    sandbox.set_scenario({"rule": [{"fault": {"kind": "reset"}}]})
    with pytest.raises(openai.APIConnectionError):
        plain.chat.completions.create(model=MODEL, messages=shown(url))


def test_an_endless_answer_ends_at_the_clients_deadline() -> None:
    with running_sandbox() as sandbox:
        sandbox.set_scenario({"rule": [{"fault": {"kind": "stream", "form": "stall"}}]})
        with openai.OpenAI(
            api_key=sandbox.key, base_url=sandbox.openai_url, timeout=0.2, max_retries=0
        ) as client:
            stream = client.chat.completions.create(model=MODEL, messages=shown(words="Hi"), stream=True)
            with pytest.raises(openai.APITimeoutError):
                list(stream)
