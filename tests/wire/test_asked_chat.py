"""A refusal in whose words a server says how it wants to be asked: it is asked so once, and from then on."""

from __future__ import annotations

from visionpipe.errors import RejectedRequestError, ServerError
from visionpipe.media import Text
from visionpipe.registry.lookup import Registry
from visionpipe.request import Message, Parameters, Request
from visionpipe.wire.chat import AskedChat, ChatForm

PLAIN = Registry.load().endpoint("openai-compatible")
LIMIT = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
FORMAT = "response_format is not supported by this model"


def refused(words: str) -> RejectedRequestError:
    return RejectedRequestError("no", cure="Change it.", service_message=words)


def question(*, limit: int | None = 100, formatted: bool = True) -> Request:
    shape = {"type": "json_object"} if formatted else None
    return Request("m", (Message("user", (Text("a"),)),), Parameters(max_tokens=limit), response_format=shape)


def test_another_name_for_the_limit_is_learnt_once_for_all_calls() -> None:
    forms: dict[str, ChatForm] = {}
    asked = AskedChat(question(), PLAIN, forms)
    assert asked.endpoint.output_limit_field == "max_tokens"
    assert asked.mend(refused(LIMIT))
    assert asked.endpoint.output_limit_field == "max_completion_tokens"
    assert [(a.kind, a.subject) for a in asked.request.adjustments] == [("renamed", "max_tokens")]
    later = AskedChat(question(), PLAIN, forms)
    assert later.endpoint.output_limit_field == "max_completion_tokens"
    assert not later.mend(refused(LIMIT))


def test_a_format_that_is_not_taken_is_left_out_with_a_note() -> None:
    forms: dict[str, ChatForm] = {}
    asked = AskedChat(question(), PLAIN, forms)
    assert asked.mend(refused(FORMAT))
    assert asked.request.response_format is None
    assert [(a.kind, a.subject) for a in asked.request.adjustments] == [("dropped", "response_format")]
    assert AskedChat(question(formatted=False), PLAIN, forms).request.adjustments == ()


def test_both_are_learnt_one_after_the_other() -> None:
    forms: dict[str, ChatForm] = {}
    asked = AskedChat(question(), PLAIN, forms)
    assert asked.mend(refused(LIMIT)) and asked.mend(refused(FORMAT))
    assert forms == {"m": ChatForm("max_completion_tokens", without_format=True)}


def test_what_was_not_sent_is_not_asked_for_in_another_form() -> None:
    forms: dict[str, ChatForm] = {}
    asked = AskedChat(question(limit=None, formatted=False), PLAIN, forms)
    assert not asked.mend(refused(LIMIT)) and not asked.mend(refused(FORMAT))
    assert not asked.mend(refused("the picture is too dark"))
    assert not asked.mend(ServerError("no", cure="Try again."))
    assert forms == {}
