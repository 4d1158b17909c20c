"""What is no text where one is meant is said at once, and a client cannot leave its process."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tests.client.faces import KEY, Face, setup_for
from tests.loopback import Loopback
from visionpipe.client import AsyncClient, Client
from visionpipe.errors import ParameterError
from visionpipe.testing.images import jpeg_bytes

CLIENTS = [Client, AsyncClient]


@pytest.mark.parametrize("make", CLIENTS)
@pytest.mark.parametrize("name", ["model", "base_url", "api_key", "lang", "catalog"])
def test_a_setting_that_is_no_text_is_named(make: Callable[..., Any], name: str) -> None:
    with pytest.raises(ParameterError, match=f"{name}: it is of type int, not a text. Give {name} as a str"):
        make(**{name: 5})


@pytest.mark.parametrize("make", CLIENTS)
def test_a_model_that_is_no_text_is_named(make: Callable[..., Any]) -> None:
    with pytest.raises(ParameterError, match="model: it is of type int"):
        make(5)


@pytest.mark.parametrize("make", CLIENTS)
def test_a_key_that_is_no_text_is_not_shown(make: Callable[..., Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        make(api_key=KEY.encode())
    assert KEY not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize("prompt", [None, 5, b"What?", ["What?"]])
def test_a_prompt_that_is_no_text_is_said(face: Face, loopback: Loopback, prompt: Any) -> None:
    for ask in (face.ask, face.stream):
        with pytest.raises(
            ParameterError, match=r"prompt: it is of type .*, not a text. Put the question first"
        ):
            ask(prompt, jpeg_bytes(), setup=setup_for(loopback))
    assert loopback.requests == []


def test_a_calls_own_model_that_is_no_text_is_said(face: Face, loopback: Loopback) -> None:
    with pytest.raises(ParameterError, match="model: it is of type int"):
        face.ask("What?", jpeg_bytes(), setup=setup_for(loopback), model=5)
    with pytest.raises(ParameterError, match="model: it is of type int"):
        face.describe(jpeg_bytes(), setup=setup_for(loopback), model=5)


@pytest.mark.parametrize("make", CLIENTS)
@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_cannot_leave_its_process(make: Callable[..., Any], leave: Callable[[Any], Any]) -> None:
    client = make(base_url="bigmodel+http://localhost:1/v4", api_key=KEY)
    with pytest.raises(TypeError, match="Make a client in each process instead") as caught:
        leave(client)
    assert KEY not in str(caught.value)
