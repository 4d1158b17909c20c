"""A reply is its text, and tells the rest as JSON."""

from __future__ import annotations

from decimal import Decimal

import orjson

from visionpipe.reply import Attempt, Reply, Source, ToolResult
from visionpipe.request import ToolCall
from visionpipe.values import Adjustment, Money, Note, Usage


def test_a_reply_tells_everything_but_what_came_raw() -> None:
    reply = Reply(
        "A cat.",
        "m",
        usage=Usage(10, 2),
        cost=Money(Decimal("0.1"), "CNY"),
        request_id="vp-2",
        finish_reason="stop",
        reasoning="Whiskers.",
        tool_calls=(ToolCall("1", "look", "{}"),),
        adjustments=(Adjustment("resized", "a.jpg", "80x60 -> 40x30"),),
        notes=(Note("truncated", "cut off"),),
        attempts=(Attempt("vp-1", 0.1, "1302"), Attempt("vp-2", 0.2)),
        raw={"id": "7"},
        tool_results=(ToolResult("look", "{}", "a cat", exception=ValueError("kept to itself")),),
        sources=(Source("Cats", "https://cats.example"),),
    )
    assert str(reply) == "A cat."
    told = orjson.loads(orjson.dumps(reply.to_json()))
    assert "raw" not in told
    assert (told["text"], told["attempts"], told["local"]) == ("A cat.", 2, False)
    assert told["usage"]["total_tokens"] == 12
    assert told["cost"] == {"amount": "0.1", "currency": "CNY"}
    assert told["tool_calls"] == [{"id": "1", "name": "look", "arguments": "{}"}]
    assert told["tool_results"] == [{"name": "look", "arguments": "{}", "output": "a cat", "error": None}]
    assert told["sources"][0]["link"] == "https://cats.example"
    assert told["adjustments"][0]["kind"] == "resized"
    assert told["notes"] == [{"kind": "truncated", "detail": "cut off"}]


def test_a_bare_reply_has_the_same_keys() -> None:
    told = Reply("Hm.", "m").to_json()
    assert (told["usage"], told["cost"], told["sources"]) == (None, None, [])


def test_results_compare_without_what_was_raised() -> None:
    assert ToolResult("f", "{}", "", "it raised", ValueError()) == ToolResult("f", "{}", "", "it raised")
