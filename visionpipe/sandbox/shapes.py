"""OpenAI's documents as other servers write them: vLLM, Ollama and OpenRouter.

Each has fields of its own beside OpenAI's and leaves some out, as was seen of them in 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Form: TypeAlias = Literal["vllm", "ollama", "openrouter"]


def shaped(document: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """A whole answer, or an event of a stream, in a server's own shape."""
    choices = [_choice(choice, form) for choice in document.get("choices", [])]
    found = {**document, "choices": choices}
    match form:
        case "vllm":
            found |= {"prompt_logprobs": None, "kv_transfer_params": None}
            found.setdefault("usage", None)
        case "ollama":
            found["system_fingerprint"] = "fp_ollama"
            found["id"] = "chatcmpl-1"
        case "openrouter":
            found |= {"provider": "Sandbox", "id": f"gen-{document.get('id', '')}"}
    return found


def shaped_error(body: Mapping[str, Any], status: int, form: Form) -> dict[str, Any]:
    """A refusal, given in OpenAI's form, as the server tells it."""
    error = body.get("error")
    error = error if isinstance(error, Mapping) else {}
    message = error.get("message", "")
    match form:
        case "vllm":
            return {
                "object": "error",
                "message": message,
                "type": error.get("type"),
                "param": None,
                "code": status,
            }
        case "ollama":
            return {"error": message}
    raw = {"raw": message, "provider_name": "Sandbox"}
    return {"error": {"message": "Provider returned error", "code": status, "metadata": raw}}


def _choice(choice: Mapping[str, Any], form: Form) -> dict[str, Any]:
    found = dict(choice)
    for name in ("message", "delta"):
        said = found.get(name)
        if isinstance(said, Mapping):
            found[name] = _said(said, form)
    match form:
        case "vllm":
            found["stop_reason"] = None
        case "openrouter":
            found["native_finish_reason"] = choice.get("finish_reason")
    return found


def _said(said: Mapping[str, Any], form: Form) -> dict[str, Any]:
    found = dict(said)
    thinking = found.pop("reasoning_content", None)
    if thinking is not None:
        found["reasoning"] = thinking
        if form == "vllm":
            found["reasoning_content"] = thinking
    if form == "ollama" and "tool_calls" in found:
        # Every call has the index 0, and a new id.
        found["tool_calls"] = [{**call, "index": 0} for call in found["tool_calls"]]
    if form == "openrouter":
        found |= {"refusal": None}
    return found
