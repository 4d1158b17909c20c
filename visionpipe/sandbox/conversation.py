"""The messages: roles, content parts, and what may stand beside what.

Whatever the documentation says of a message is checked here, one function a sentence: text is
never empty, one kind of media a request, a video first where the record says so, system text only, images
counted over all messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionpipe.registry.records import ModelRecord
from visionpipe.sandbox.received import (
    MediaForms,
    Received,
    receive_document,
    receive_file,
    receive_image,
    receive_video,
    text_tokens,
)
from visionpipe.sandbox.replies import Refusal

ROLES = frozenset({"system", "user", "assistant", "tool"})
OPENAI_ROLES = ROLES | {"developer"}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said and shown. ``prompt``: the last user's text. ``tool_result``: set where the last message
    brings a function's result."""

    prompt: str
    media: tuple[Received, ...]
    text_tokens: int
    tool_result: str | None = None
    called: frozenset[str] = frozenset()
    """The functions asked for so far."""


class Reader:
    """Reads one request's messages.

    Args:
        record: the model's limits.
        forms: which forms of media the dialect takes.
        strict_keys: refuse keys outside the schema in a media part.
        openai: OpenAI's messages: ``developer`` for ``system``, and either as text or in parts.
    """

    def __init__(
        self, record: ModelRecord, forms: MediaForms, strict_keys: bool, *, openai: bool = False
    ) -> None:
        self._openai = openai
        self._called: set[str] = set()
        self._record = record
        self._forms = forms
        self._strict_keys = strict_keys
        self._media: list[Received] = []
        self._text_tokens = 0

    def read(self, messages: Any) -> Conversation:
        """Check all messages; Refusal 1210, 1213 or 1214."""
        if messages is None:
            raise Refusal("1213", "messages")
        if not isinstance(messages, list) or not messages:
            raise Refusal("1214", "messages must be a list of at least one message")
        prompt = ""
        tool_result: str | None = None
        roles: set[str] = set()
        for message in messages:
            role = message.get("role") if isinstance(message, dict) else None
            known = OPENAI_ROLES if self._openai else ROLES
            if not isinstance(role, str) or role not in known:
                raise Refusal("1214", f"messages.role must be one of {', '.join(sorted(known))}")
            text = self._message(role, message)
            roles.add(role)
            tool_result = text if role == "tool" else None
            if role == "user":
                prompt = text
        if "user" not in roles:
            raise Refusal("1214", "messages must hold a user's message")
        return Conversation(
            prompt, tuple(self._media), self._text_tokens, tool_result, frozenset(self._called)
        )

    def _message(self, role: str, message: Mapping[str, Any]) -> str:
        content = message.get("content")
        match role:
            case "system" if not self._openai:
                if not self._record.system_role:
                    raise Refusal("1214", "this model takes no system message")
                if not isinstance(content, str):
                    raise Refusal("1214", "a system message's content must be text")
            case "assistant":
                self._called |= _names(message.get("tool_calls"))
                if message.get("tool_calls") and content in (None, ""):
                    return ""
            case "tool":
                if "function" not in self._record.tools:
                    raise Refusal("1214", "this model takes no tool message")
                if not isinstance(message.get("tool_call_id"), str):
                    raise Refusal("1214", "a tool message needs its tool_call_id")
        if content is None:
            raise Refusal("1213", "messages.content")
        if isinstance(content, str):
            return self._text(content)
        if not isinstance(content, list) or not content:
            raise Refusal("1214", "messages.content must be text or a list of parts")
        texts = [self._part(part, role, place) for place, part in enumerate(content)]
        return "\n".join(text for text in texts if text)

    def _text(self, text: Any) -> str:
        if not isinstance(text, str) or not text.strip():
            raise Refusal("1214", "a text must not be empty")
        self._text_tokens += text_tokens(text)
        return text

    def _part(self, part: Any, role: str, place: int) -> str:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            return self._text(part.get("text"))
        if role != "user":
            raise Refusal("1214", f"messages.content.type must be text in the role {role}")
        rules = self._record
        match kind:
            case "image_url":
                if rules.images is None:
                    raise Refusal("1210", "messages.content.type must be text with this model")
                self._take(receive_image(self._url(part, kind), rules.images, self._forms))
                self._count("image", rules.images.max_count)
            case "video_url":
                if rules.video is None:
                    raise Refusal("1210", "this model takes no video")
                if rules.video.must_be_first and place:
                    raise Refusal("1210", "the video must be the first part of content")
                self._take(receive_video(self._url(part, kind), rules.video, self._forms))
                self._count("video", rules.video.max_count)
            case "file_url" | "file":
                if rules.files is None:
                    raise Refusal("1210", "this model takes no files")
                if kind == "file_url":
                    self._take(receive_file(self._url(part, kind), rules.files))
                elif isinstance(part.get("file"), dict):
                    self._take(receive_document(part["file"], rules.files))
                else:
                    raise Refusal("1214", "file must be an object")
                self._count("file", rules.files.max_count)
            case _:
                raise Refusal("1214", "messages.content.type is not legal")
        return ""

    def _url(self, part: Mapping[str, Any], kind: str) -> str:
        holder = part.get(kind)
        if not isinstance(holder, dict):
            raise Refusal("1214", f"{kind} must be an object that holds url")
        if self._strict_keys and set(holder) - {"url"}:
            raise Refusal("1210", f"{kind} holds keys outside the schema: {sorted(set(holder) - {'url'})}")
        url = holder.get("url")
        if not isinstance(url, str) or not url:
            raise Refusal("1213", f"{kind}.url")
        return url

    def _take(self, item: Received) -> None:
        if self._media and self._media[0].kind != item.kind and not self._record.mixed_media:
            raise Refusal("1210", f"{self._media[0].kind} and {item.kind} cannot be in one request")
        self._media.append(item)

    def _count(self, kind: str, most: int | None) -> None:
        if most is not None and sum(item.kind == kind for item in self._media) > most:
            raise Refusal("1210", f"at most {most} of kind {kind} a request")


def _names(calls: Any) -> set[str]:
    functions = (
        (call.get("function") for call in calls if isinstance(call, dict)) if isinstance(calls, list) else ()
    )
    return {str(function.get("name")) for function in functions if isinstance(function, dict)}
