"""Structured data from messy answers: every valid one is read, every bad one asked for once more, and a
second bad one fails with the reason."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.client.faces import _awaited, chat, event_stream, setup_for
from tests.loopback import Loopback
from visionpipe.client import AsyncClient, Client
from visionpipe.client._async.stream import AsyncObjectStream
from visionpipe.client._sync.stream import ObjectStream
from visionpipe.errors import ParameterError, UnreadableAnswerError
from visionpipe.values import Usage

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8ffff3f"
    "0005fe02fedccc59e70000000049454e44ae426082"
)


class Price(BaseModel):
    amount: float
    currency: Literal["CNY", "USD"]


class Product(BaseModel):
    name: str
    price: Price
    tags: list[str] = []


class Shop(BaseModel):
    products: list[Product]


GOOD = '{"name": "Tea", "price": {"amount": 12.5, "currency": "CNY"}, "tags": ["green"]}'
TEA = Product(name="Tea", price=Price(amount=12.5, currency="CNY"), tags=["green"])

VALID = [
    GOOD,
    f"```json\n{GOOD}\n```",
    f"```\n{GOOD}\n```",
    f"Here is the data:\n\n{GOOD}\n\nLet me know!",
    f"<|begin_of_box|>{GOOD}<|end_of_box|>",
    f"<think>Is it tea? {{maybe}}</think>{GOOD}",
    f"<answer>{GOOD}</answer>",
    f"<think>hm</think>\n<answer>```json\n{GOOD}\n```</answer>",
    GOOD.replace('"green"]}', '"green",],}'),
    GOOD.replace("12.5", '"12.5"'),
    f"结果如下：{GOOD}。",
    GOOD.replace(", ", ",\n   "),
    f"\ufeff \n{GOOD}",
    f"Result: {GOOD} (confidence: high)",
    f"JSON\n{GOOD}",
    f"I looked at {{the label}} first. {GOOD}",
    f"```JSON\n{GOOD}\n``` and nothing else",
    f"**Answer:** `{GOOD}`",
    GOOD.replace("}", "}\n"),
    f"1. {GOOD}",
]
BAD = [
    "",
    "I cannot read the label.",
    GOOD[:-1],
    GOOD[:30],
    "{'name': 'Tea'}",
    '{"name": "Tea"}',
    GOOD.replace("CNY", "EUR"),
    GOOD.replace("12.5", '"cheap"'),
    GOOD.replace('"Tea"', "null"),
    GOOD.replace('["green"]', '"green"'),
    GOOD.replace("12.5", ""),
    "[]",
    "null",
    "```json\n{\n```",
    '{"product": ' + GOOD + "}",
    GOOD.replace(":", "="),
    "name: Tea, price: 12.5 CNY",
    GOOD.replace('"name"', "name"),
    "<think>never closed " + GOOD,
    '{"name": {"name": "Tea"}, "price": 1}',
]


def extract(face: str, setup: dict[str, Any], schema: Any, **options: Any) -> Any:
    if face == "sync":
        with Client(**setup) as client:
            return client.extract(schema, PIXEL, **options)

    async def run() -> Any:
        async with AsyncClient(**_awaited(setup)) as client:
            return await client.extract(schema, PIXEL, **options)

    return asyncio.run(run())


faces = pytest.mark.parametrize("face_name", ["sync", "async"])


@pytest.mark.parametrize("text", VALID)
def test_every_valid_answer_is_read_at_once(loopback: Loopback, text: str) -> None:
    loopback.script(chat(text))
    found = extract("sync", setup_for(loopback), Product)
    assert found.value == TEA
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("text", [text for text in BAD if text and not text.startswith("<think>")])
def test_every_bad_answer_is_asked_for_once_more(loopback: Loopback, text: str) -> None:
    loopback.script(chat(text), chat(GOOD))
    found = extract("sync", setup_for(loopback), Product)
    assert found.value == TEA
    assert found.reply.usage == Usage(2074, 74)
    assert [note.kind for note in found.reply.notes][:1] == ["reasked"]
    first, second = (seen.json()["messages"] for seen in loopback.requests)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": text}
    assert "cannot be used" in second[-1]["content"][0]["text"]


@faces
@pytest.mark.parametrize("text", ["No idea.", GOOD.replace("CNY", "EUR")])
def test_a_second_bad_answer_fails_with_the_reason(loopback: Loopback, face_name: str, text: str) -> None:
    loopback.script(chat(text))
    with pytest.raises(UnreadableAnswerError, match="twice") as caught:
        extract(face_name, setup_for(loopback), Product)
    assert len(loopback.requests) == 2
    assert caught.value.reply is not None
    assert caught.value.reply.text == text
    assert caught.value.reply.usage == Usage(2074, 74)


@faces
def test_lists_unions_and_nested_models(loopback: Loopback, face_name: str) -> None:
    loopback.script(chat(f'{{"products": [{GOOD}, {GOOD}]}}'))
    assert extract(face_name, setup_for(loopback), Shop).value == Shop(products=[TEA, TEA])
    loopback.script(chat(f"[{GOOD}]"))
    assert extract(face_name, setup_for(loopback), list[Product]).value == [TEA]
    loopback.script(chat('{"amount": 1, "currency": "USD"}'))
    assert extract(face_name, setup_for(loopback), Product | Price).value == Price(amount=1, currency="USD")


def test_a_json_schema_gives_plain_data(loopback: Loopback) -> None:
    schema = {"type": "object", "properties": {"cats": {"type": "integer"}}, "required": ["cats"]}
    loopback.script(chat('{"cats": "two"}'), chat('{"cats": 2}'))
    found = extract("sync", setup_for(loopback), schema)
    assert found.value == found.data == {"cats": 2}
    assert "$.cats: 'two' is not of type 'integer'" in found.reply.notes[0].detail


def test_a_wrong_schema_costs_no_request(loopback: Loopback) -> None:
    with pytest.raises(ParameterError, match="no JSON Schema"):
        extract("sync", setup_for(loopback), {"type": "objekt"})
    with pytest.raises(ParameterError, match="no JSON Schema"):
        extract("sync", setup_for(loopback), object())
    assert loopback.requests == []


def test_a_model_with_structured_output_gets_the_schema_natively(loopback: Loopback) -> None:
    loopback.script(chat(GOOD))
    setup = {**setup_for(loopback), "base_url": f"openai+{loopback.url}", "model": "gpt-x"}
    extract("sync", setup, Product)
    sent = loopback.requests[0].json()
    assert sent["response_format"]["json_schema"]["name"] == "Product"
    assert "response_format" not in sent["messages"][0]["content"][-1]["text"]


def parts(text: str) -> Any:
    return event_stream(*[text[at : at + 9] for at in range(0, len(text), 9)])


@faces
def test_a_document_is_shown_while_it_is_written(loopback: Loopback, face_name: str) -> None:
    loopback.script(parts(f"```json\n{GOOD}\n```"))
    setup = setup_for(loopback)

    async def run() -> tuple[list[Any], Product]:
        async with AsyncClient(**_awaited(setup)) as client:
            stream: AsyncObjectStream[Product] = await client.extract_stream(Product, PIXEL)
            async with stream:
                return [step async for step in stream], stream.value

    if face_name == "sync":
        with Client(**setup) as client:
            stream: ObjectStream[Product] = client.extract_stream(Product, PIXEL)
            with stream:
                steps, value = list(stream), stream.value
    else:
        steps, value = asyncio.run(run())
    assert value == TEA
    assert len(steps) > 3
    assert [list(step) for step in steps] == sorted((list(step) for step in steps), key=len)
    assert steps[-1] == {"name": "Tea", "price": {"amount": 12.5, "currency": "CNY"}, "tags": ["green"]}


def test_a_streamed_document_that_does_not_fit_has_no_value(loopback: Loopback) -> None:
    loopback.script(parts(GOOD.replace("CNY", "EUR")))
    with Client(**setup_for(loopback)) as client:
        stream: ObjectStream[Product] = client.extract_stream(Product, PIXEL)
        assert list(stream)[-1]["price"]["currency"] == "EUR"
        with pytest.raises(UnreadableAnswerError, match=r"price\.currency"):
            _ = stream.value
    assert len(loopback.requests) == 1
