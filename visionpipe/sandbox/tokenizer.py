"""Counting a request's tokens without asking the model. Models that are not in its enum: 1212."""

from __future__ import annotations

from visionpipe.sandbox.call import read_call, read_object
from visionpipe.sandbox.exchange import Exchange
from visionpipe.sandbox.replies import Dialect, JsonReply, Refusal, Reply
from visionpipe.sandbox.tokens import media_tokens


async def count(exchange: Exchange) -> Reply:
    """``POST /tokenizer``: ``usage`` with prompt_tokens, image_tokens, video_tokens, total_tokens."""
    service = exchange.service
    call = read_call(read_object(exchange.body), service.models, Dialect.GLM, service.options)
    if not call.record.counts_tokens and call.record.state != "generic":
        raise Refusal("1212", "the tokenizer does not know this model")
    exchange.note(call)
    await exchange.admit(call.model)
    images, videos = media_tokens(call.conversation.media, call.record)
    head = service.new_head(call.model, call.parameters.request_id)
    usage = {
        "prompt_tokens": call.conversation.text_tokens,
        "image_tokens": images,
        "video_tokens": videos,
        "total_tokens": call.prompt_tokens,
    }
    return JsonReply({name: head[name] for name in ("id", "created", "request_id")} | {"usage": usage})
