"""The embedded sender answers chat requests like the service, on this machine."""

from __future__ import annotations

import json
from pathlib import Path

from visionpipe.media import MemoryContent
from visionpipe.transport.embedded import EmbeddedSender
from visionpipe.wire.http import Base64Piece, Body, HttpRequest

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def test_one_photo_one_sentence() -> None:
    head, tail = (
        json.dumps(
            {
                "model": "glm-4.6v",
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "@"}},
                            {"type": "text", "text": "Describe it."},
                        ],
                    }
                ],
            }
        )
        .encode()
        .split(b"@")
    )
    photo = Base64Piece(MemoryContent((SAMPLES / "chelsea.png").read_bytes()))
    response = EmbeddedSender().send(HttpRequest("POST", "/chat/completions", Body((head, photo, tail))))
    assert response.status == 200
    reply = json.loads(response.body)
    assert reply["choices"][0]["message"]["content"] == "A photo of a cat, mostly brown."
    assert reply["local"]["facts"][0]["subject"]["family"] == "cat"
