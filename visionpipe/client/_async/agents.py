"""The service's agents.

client.agents.invoke("receipt_recognition_agent", images=["https://example.com/receipt.png"]).text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from visionpipe.client._async.applications import AsyncApplications
from visionpipe.client._async.calls import AsyncCalls, poll_async
from visionpipe.client._async.stream import AsyncEventStream
from visionpipe.client.settings import Settings, beside, require
from visionpipe.errors import ParameterError, ReplyTimeoutError, ServerError, ServiceError, UnsupportedError
from visionpipe.reply import Answered
from visionpipe.stages.retry import Looked, PollPolicy
from visionpipe.values import JSON
from visionpipe.wire.agents import (
    RESULT,
    AgentReply,
    AgentStatus,
    encode_invocation,
    encode_question_after,
    error_of,
    reply_of,
)
from visionpipe.wire.answers import read_object
from visionpipe.wire.errors import retry_after, service_error
from visionpipe.wire.http import HttpRequest, HttpResponse
from visionpipe.wire.sse import EventReader


@dataclass(frozen=True, slots=True)
class AsyncAgents:
    """``client.agents``."""

    _calls: AsyncCalls

    @property
    def applications(self) -> AsyncApplications:
        """The older application API."""
        return AsyncApplications(self._calls)

    async def invoke(
        self,
        agent_id: str,
        prompt: str | None = None,
        *,
        images: Sequence[str] = (),
        history: Sequence[Mapping[str, JSON]] = (),
        variables: Mapping[str, JSON] | None = None,
        conversation_id: str | None = None,
    ) -> AgentReply:
        """Ask an agent.

        Args:
            agent_id: such as "receipt_recognition_agent".
            prompt: what to say; may be left out where there are images.
            images: http(s) links.
            history: earlier messages, as the service has them.
            variables: the agent's own settings.
            conversation_id: of an earlier reply, to go on with it.

        Returns:
            The reply; where the agent answers later, one whose ``done`` is False: then
            ``wait(agent_id, reply.async_id)``.

        Raises:
            UnsupportedError: the endpoint has no agents, or an image is no link.
            ServiceError: the agent or the service failed.
        """
        make = self._question(agent_id, prompt, images, history, variables, conversation_id, stream=False)
        settings = self._calls.settings
        return await self._calls.service(
            make, lambda response, answered: _reply(settings, response, agent_id, answered)
        )

    async def stream(
        self,
        agent_id: str,
        prompt: str | None = None,
        *,
        images: Sequence[str] = (),
        history: Sequence[Mapping[str, JSON]] = (),
        variables: Mapping[str, JSON] | None = None,
        conversation_id: str | None = None,
    ) -> AsyncEventStream[AgentReply]:
        """As ``invoke``, giving the text piece by piece; ``.reply`` at the end."""
        make = self._question(agent_id, prompt, images, history, variables, conversation_id, stream=True)
        settings = self._calls.settings

        def read(stream: Any, answered: Answered) -> AsyncEventStream[AgentReply]:
            request_id = answered.request_id
            reader = EventReader[AgentReply](
                read=lambda event: reply_of(event, agent_id, request_id),
                refusal=lambda event: _refusal(settings, event, request_id),
                whole=lambda text, last: replace(
                    reply_of(last, agent_id, request_id), text=text, parts=({"type": "text", "text": text},)
                ),
            )
            return AsyncEventStream(stream, reader)

        return await self._calls.opened(make, read)

    async def result(self, agent_id: str, async_id: str) -> AgentReply:
        """How an answer that comes later stands."""
        looked = await self._look(agent_id, async_id)
        return looked.value

    async def wait(self, agent_id: str, async_id: str, deadline: float | None = None) -> AgentReply:
        """An answer that comes later.

        Args:
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "agent_in_progress"); the agent goes on.
            ServiceError: the agent failed.
        """
        return await poll_async(
            lambda: self._look(agent_id, async_id),
            policy=PollPolicy(),
            sleep=self._calls.sleep,
            clock=self._calls.clock,
            deadline=deadline,
            late=lambda: ReplyTimeoutError(
                "the agent has not answered in the time given; it goes on",
                cure=f"Wait for it again: client.agents.wait({agent_id!r}, {async_id!r}).",
                subject=f"agent {agent_id}",
                code="agent_in_progress",
            ),
        )

    async def _look(self, agent_id: str, async_id: str) -> Looked[AgentReply]:
        calls = self._calls
        address = f"{_address(calls.settings)}{RESULT}"
        body = encode_question_after(agent_id, async_id)

        def read(response: HttpResponse, answered: Answered) -> Looked[AgentReply]:
            reply = _reply(calls.settings, response, agent_id, answered)
            return Looked(reply, reply.done, retry_after(response))

        return await calls.service(
            lambda _: HttpRequest("POST", address, body, timeouts=calls.timeouts), read
        )

    def _question(
        self,
        agent_id: str,
        prompt: str | None,
        images: Sequence[str],
        history: Sequence[Mapping[str, JSON]],
        variables: Mapping[str, JSON] | None,
        conversation_id: str | None,
        *,
        stream: bool,
    ) -> Callable[[str], HttpRequest]:
        """The request. Raises what the service would refuse."""
        address = _address(self._calls.settings)
        if prompt is None and not images:
            raise ParameterError("there is neither a prompt nor an image", cure="Give one.", subject="prompt")
        for image in images:
            if not image.lower().startswith(("http://", "https://")):
                raise UnsupportedError(
                    "agents take images by link only",
                    cure="Give an http(s) link that the service can reach.",
                    subject=image[:80],
                )
        body = encode_invocation(
            agent_id,
            prompt,
            tuple(images),
            history=history,
            variables=variables,
            conversation_id=conversation_id,
            stream=stream,
        )
        return lambda _: HttpRequest("POST", address, body, timeouts=self._calls.timeouts)


def _address(settings: Settings) -> str:
    require(settings, "agents_url")
    return beside(settings, settings.endpoint.agents_url or "").rstrip("/")


def _reply(settings: Settings, response: HttpResponse, agent_id: str, answered: Answered) -> AgentReply:
    answer = read_object(response.body, f"agent {agent_id}")
    refusal = _refusal(settings, answer, answered.request_id)
    if refusal is not None:
        raise refusal
    reply = reply_of(answer, agent_id, answered.request_id)
    if reply.status is AgentStatus.FAILED:
        raise ServerError(
            "the agent failed and does not say why",
            cure="Ask it again.",
            subject=f"agent {agent_id}",
            code="agent_failed",
            request_id=answered.request_id,
        )
    return reply


def _refusal(settings: Settings, answer: Mapping[str, Any], request_id: str) -> ServiceError | None:
    error = error_of(answer)
    if error is None:
        return None
    return service_error(
        *error, status=None, endpoint=settings.endpoint, request_id=request_id, key=settings.api_key
    )
