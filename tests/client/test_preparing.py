"""Questions prepared with options that were worked out once are those prepared one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.client.faces import setup_for
from tests.loopback import Loopback
from visionpipe.client import Client
from visionpipe.errors import BadImageError, TooManyImagesError, VisionPipeError

SAMPLES = Path(__file__).parent.parent.parent / "samples"
PHOTOS = [SAMPLES / "chelsea.png", SAMPLES / "coffee.png", SAMPLES / "china.jpg"]


def weather(city: str) -> str:
    """The weather in a city."""
    return city


EARLIER = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"system": "Be brief.", "temperature": 0.5, "max_tokens": 40, "headers": {"x-team": "a"}},
        {"model": "glm-4v-flash", "system": "Be brief.", "detail": "low", "thinking": "off"},
        {"tools": [weather], "tool_choice": "auto", "cache": "refresh"},
        {"messages": EARLIER, "max_side": 100},
        {"model": "glm-4v-flash", "on_too_many": "split"},
        {"model": "glm-4v-flash", "on_too_many": "contact_sheet"},
    ],
)
def test_each_question_is_as_if_it_were_the_only_one(loopback: Loopback, options: dict[str, Any]) -> None:
    with Client(**setup_for(loopback)) as client:
        preparing = client.preparing(**options)
        most = 3 if "on_too_many" in options else 1
        for prompt, images in [("What?", PHOTOS[:most]), ("Why?", PHOTOS[-most:]), ("What?", PHOTOS[1:2])]:
            assert preparing(prompt, images) == client.prepare(prompt, *images, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.5, "top_p": 0.5},
        {"max_tokens": "many"},
        {"tool_choice": "any"},
        {"thinking": "on", "model": "glm-4v-flash"},
        {"tools": [weather], "model": "glm-4v-flash"},
    ],
)
def test_each_question_meets_the_same_error_and_its_own_first(
    loopback: Loopback, options: dict[str, Any], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    with Client(**setup_for(loopback, model="glm-4v-plus-0111")) as client:
        preparing = client.preparing(**options)
        with pytest.raises(VisionPipeError) as alone:
            client.prepare("What?", PHOTOS[0], **options)
        for prompt in ("What?", "Why?"):
            with pytest.raises(BadImageError):
                preparing(prompt, [broken])
            with pytest.raises(type(alone.value)) as caught:
                preparing(prompt, PHOTOS[:1])
            assert str(caught.value) == str(alone.value)
        if "temperature" in options:
            with pytest.raises(TooManyImagesError):
                preparing("What?", PHOTOS * 2)
    assert loopback.requests == []
