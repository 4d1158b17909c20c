"""Which tools go into a request: one kind, one the model takes; the rest refused or recorded."""

from __future__ import annotations

from typing import Any

import pytest

from visionpipe.errors import ParameterError, UnsupportedError
from visionpipe.registry.lookup import Registry
from visionpipe.stages.tools import FunctionTool, Retrieval, WebSearch, check_tool_choice, choose_tools

REGISTRY = Registry.load()
STRANGER = REGISTRY.model("some-text-model", "bigmodel")
VISION = REGISTRY.model("glm-4.6v")
OLD = REGISTRY.model("glm-4v-plus-0111")


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def sub(a: int, b: int) -> int:
    """Subtract."""
    return a - b


def test_nothing_offered_is_nothing_sent() -> None:
    assert choose_tools([], OLD).sent == ()


def test_functions_are_sent_in_order() -> None:
    box = choose_tools([add, FunctionTool.of(sub, name="minus")], VISION)
    assert [tool.name for tool in box.functions] == ["add", "minus"]
    assert [tool["function"]["name"] for tool in box.sent] == ["add", "minus"]  # type: ignore[index, call-overload]  # objects


def test_web_search_always_says_whether_it_is_on() -> None:
    (on,) = choose_tools([WebSearch()], STRANGER).sent
    assert on == {
        "type": "web_search",
        "web_search": {"enable": True, "search_result": True, "search_engine": "search_std"},
    }
    assert WebSearch(enable=False).to_json()["web_search"]["enable"] is False  # type: ignore[index, call-overload]  # an object
    full = WebSearch(
        search_query="cats", count=3, search_recency_filter="oneDay", content_size="high"
    ).to_json()
    assert full["web_search"] == {
        "enable": True,
        "search_result": True,
        "search_engine": "search_std",
        "search_query": "cats",
        "count": 3,
        "search_recency_filter": "oneDay",
        "content_size": "high",
    }


def test_retrieval_names_its_knowledge_base() -> None:
    assert Retrieval("kb-1").to_json() == {"type": "retrieval", "retrieval": {"knowledge_id": "kb-1"}}
    assert Retrieval("kb-1", "Use {{knowledge}}").to_json()["retrieval"] == {
        "knowledge_id": "kb-1",
        "prompt_template": "Use {{knowledge}}",
    }


@pytest.mark.parametrize(
    "values",
    [{"count": 0}, {"count": 51}, {"content_size": "huge"}, {"search_recency_filter": "oneHour"}],
)
def test_a_search_setting_out_of_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(values))):
        WebSearch(**values)


MIXTURES: list[tuple[list[Any], str, list[str]]] = [
    ([WebSearch(), add], "function", ["tools: web_search"]),
    ([WebSearch(), Retrieval("kb")], "retrieval", ["tools: web_search"]),
    ([WebSearch(), Retrieval("kb"), sub, add], "function", ["tools: retrieval", "tools: web_search"]),
]


@pytest.mark.parametrize(("tools", "winner", "dropped"), MIXTURES)
def test_a_mixture_is_refused_with_the_order_named(tools: list[Any], winner: str, dropped: list[str]) -> None:
    with pytest.raises(ParameterError, match="function > retrieval > web_search") as caught:
        choose_tools(tools, STRANGER)
    assert f"prefer_priority=True to send {winner} only" in caught.value.cure


@pytest.mark.parametrize(("tools", "winner", "dropped"), MIXTURES)
def test_the_winner_is_kept_on_request(tools: list[Any], winner: str, dropped: list[str]) -> None:
    box = choose_tools(tools, STRANGER, prefer_priority=True)
    assert {tool["type"] for tool in box.sent} == {winner}
    assert [note.subject for note in box.adjustments] == dropped
    assert {note.kind for note in box.adjustments} == {"dropped"}


@pytest.mark.parametrize(
    ("tools", "model"), [([add], OLD), ([WebSearch()], VISION), ([Retrieval("kb")], VISION)]
)
def test_the_record_says_which_model_takes_which(tools: list[Any], model: Any) -> None:
    with pytest.raises(UnsupportedError, match=f"{model.id} takes no tools of the kind"):
        choose_tools(tools, model)


def many(count: int) -> list[FunctionTool]:
    return [FunctionTool(f"f{n}", "", {"type": "object"}) for n in range(count)]


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([add, add], "two functions"),
        (many(129), "takes 128"),
        ([WebSearch(), WebSearch()], "2 of the kind web_search"),
        (["add"], "str is no tool"),
    ],
)
def test_lists_that_cannot_be_sent(tools: list[Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        choose_tools(tools, STRANGER)


def test_128_functions_are_sent() -> None:
    assert len(choose_tools(many(128), VISION).sent) == 128


def test_tool_choice_is_auto_on_glm_and_free_elsewhere() -> None:
    glm, other = REGISTRY.endpoint("bigmodel"), REGISTRY.endpoint("openai")
    check_tool_choice(None, glm)
    check_tool_choice("auto", glm)
    check_tool_choice("required", other)
    with pytest.raises(UnsupportedError, match="'required'"):
        check_tool_choice("required", glm)
