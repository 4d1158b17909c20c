"""The older application API (``/api/llm-application/open``), which the documentation marks as deprecated.

Its errors are flat, its answers lie in ``choices[0].messages.content.msg``, and it streams unless told not
to. Facts: docs.bigmodel.cn, agent API (old) OpenAPI, 2026-04. The sandbox takes any application id.
"""

from __future__ import annotations

from typing import Any

from visionpipe.sandbox.call import read_object
from visionpipe.sandbox.chat import pieces
from visionpipe.sandbox.connection import Exchange
from visionpipe.sandbox.files import read_form
from visionpipe.sandbox.replies import JsonReply, Refusal, Reply, StreamReply
from visionpipe.sandbox.scenario import TaskFault

FILE = "application_file"
MOST_CHARACTERS = 1_000_000


async def variables(exchange: Exchange) -> Reply:
    """``GET /v2/application/{app_id}/variables``: one text and one image."""
    await exchange.admit()
    return _good(
        exchange,
        [
            {"id": "user_input", "type": "input", "name": "用户输入", "tips": "", "allowed_values": []},
            {"id": "image", "type": "upload_image", "name": "图片", "tips": "", "allowed_values": []},
        ],
    )


async def conversation(exchange: Exchange) -> Reply:
    """``POST /v2/application/{app_id}/conversation``."""
    await exchange.admit()
    return _good(exchange, {"conversation_id": exchange.service.new_id()})


async def upload(exchange: Exchange) -> Reply:
    """``POST /v2/application/file_upload``: ``app_id`` and one or more ``files``."""
    fields, uploads = await read_form(exchange)
    if "app_id" not in fields:
        raise Refusal("1213", "app_id")
    if not uploads:
        raise Refusal("1213", "files")
    await exchange.admit()
    service = exchange.service
    stored = []
    for upload in uploads:
        record = {"id": service.new_id(), "name": upload.filename, "bytes": len(upload.data)}
        service.store.put(FILE, record)
        stored.append({"fileId": record["id"], "fileName": upload.filename})
    return _good(exchange, {"successInfo": stored, "failInfo": []})


async def file_state(exchange: Exchange) -> Reply:
    """``POST /v2/application/file_stat``: for each of ``file_ids`` code 1 (ready) or 11009 (not there)."""
    body = read_object(exchange.body)
    wanted = body.get("file_ids")
    if not isinstance(wanted, list):
        raise Refusal("1213", "file_ids")
    await exchange.admit()
    store = exchange.service.store
    states = [
        {"file_id": identity, "code": 1 if isinstance(identity, str) and store.get(FILE, identity) else 11009}
        for identity in wanted
    ]
    return _good(exchange, states)


async def invoke(exchange: Exchange) -> Reply:
    """``POST /v3/application/invoke``: streamed unless ``stream`` is false."""
    body = read_object(exchange.body)
    app = body.get("app_id")
    if not isinstance(app, str) or not app:
        raise Refusal("1213", "app_id")
    text, shown = _read_messages(exchange, body.get("messages"))
    stream = body.get("stream") is not False
    exchange.record.model, exchange.record.stream = app, stream
    await exchange.admit(app, stream, limited=True)
    service = exchange.service
    given = body.get("conversation_id")
    head = {
        "request_id": service.new_id(),
        "conversation_id": given if isinstance(given, str) else service.new_id(),
        "app_id": app,
    }
    answer = f"The application was asked: {text}" + (f" It was shown: {', '.join(shown)}." if shown else "")
    if isinstance(exchange.planned.fault, TaskFault):
        failed = {**_choice("messages", "", "error"), "error_msg": {"code": 1234, "msg": "it failed"}}
        return StreamReply(({**head, **failed},)) if stream else JsonReply({**head, **failed})
    if not stream:
        return JsonReply({**head, **_choice("messages", answer, "stop")})
    parts = [{**head, **_choice("delta", piece, None)} for piece in pieces(answer)]
    return StreamReply((*parts, {**head, **_choice("delta", "", "stop")}))


def _read_messages(exchange: Exchange, messages: Any) -> tuple[str, list[str]]:
    """What was typed, and the names of the files that were uploaded before."""
    if not isinstance(messages, list) or not messages:
        raise Refusal("1213", "messages")
    texts: list[str] = []
    shown: list[str] = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            raise Refusal("1214", "messages.content must be a list")
        for part in content:
            value = part.get("value") if isinstance(part, dict) else None
            if not isinstance(value, str) or not value:
                raise Refusal("1214", "messages.content.value must be text")
            if part.get("type") == "input":
                texts.append(value[:MOST_CHARACTERS])
            elif str(part.get("type")).startswith("upload_"):
                shown += [_file_name(exchange, identity.strip()) for identity in value.split(",")]
            else:
                raise Refusal("1214", "messages.content.type is not legal")
    return " ".join(texts), shown


def _file_name(exchange: Exchange, identity: str) -> str:
    record = exchange.service.store.get(FILE, identity)
    if record is None:
        raise Refusal("1214", f"there is no file {identity}")
    return str(record["name"])


def _choice(holder: str, text: str, finish_reason: str | None) -> dict[str, Any]:
    content = {"type": "text", "msg": text}
    return {"choices": [{"index": 0, "finish_reason": finish_reason, holder: {"content": content}}]}


def _good(exchange: Exchange, data: Any) -> Reply:
    now = int(exchange.service.clock() * 1000)
    return JsonReply({"data": data, "code": 200, "message": "success", "timestamp": now})
