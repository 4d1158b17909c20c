"""Plain HTTP to a sandbox: what is sent is exactly what a test says, every wait has its deadline."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import SandboxHandle

DEADLINE = 10.0
CHAT = "/api/paas/v4/chat/completions"
PNG = image_bytes("png", 40, 30)
JPEG = image_bytes("jpeg", 64, 48)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["error"]["code"]
        return code

    @property
    def text(self) -> str:
        text: str = self.json["choices"][0]["message"]["content"]
        return text

    @property
    def events(self) -> list[Any]:
        """The objects of a stream; ``[DONE]`` as that string."""
        lines = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return ["[DONE]" if line == b"[DONE]" else orjson.loads(line) for line in lines]


def connect(sandbox: SandboxHandle) -> http.client.HTTPConnection:
    parts = urlsplit(sandbox.url)
    assert parts.hostname is not None
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEADLINE)


def send(
    sandbox: SandboxHandle,
    path: str = CHAT,
    body: Any = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    key: str | None = "",
) -> Answer:
    """One request on a connection of its own. ``body``: bytes as they are, else as JSON. ``key``: "" takes
    the sandbox's, None sends none."""
    fields = dict(headers or {})
    if key is not None:
        fields["Authorization"] = f"Bearer {key or sandbox.key}"
    data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
    connection = connect(sandbox)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, data, fields)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def text(words: str = "What is this?") -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(data: bytes = PNG) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": base64.b64encode(data).decode()}}


def linked(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def chat(*parts: Any, model: str = "glm-4.6v", **fields: Any) -> dict[str, Any]:
    """A chat body of one user message; without parts, a PNG and a question."""
    content = list(parts) or [image(), text()]
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


def form(fields: Mapping[str, str], filename: str, data: bytes, name: str = "file") -> tuple[bytes, str]:
    """A multipart form and its content type."""
    edge = "visionpipe-edge"
    pieces = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    pieces += [head.encode(), data, f"\r\n--{edge}--\r\n".encode()]
    return b"".join(pieces), f"multipart/form-data; boundary={edge}"


def upload(sandbox: SandboxHandle, filename: str, purpose: str, data: bytes) -> Answer:
    body, media_type = form({"purpose": purpose}, filename, data)
    return send(sandbox, "/api/paas/v4/files", body, headers={"Content-Type": media_type})
