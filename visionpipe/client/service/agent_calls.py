"""Agents as effect generators."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from visionpipe.client.calls import Calls
from visionpipe.client.event_reader import EventReader
from visionpipe.client.service.surfaces import beside, require
from visionpipe.errors import (
    ParameterError,
    ReplyTimeoutError,
    ServerError,
    ServiceError,
    UnsupportedError,
    VisionPipeError,
)
from visionpipe.stages.exchange import Answered, Effect
from visionpipe.stages.polling import Look, Looked, PollPolicy, poll
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
from visionpipe.wire.http import Body, HttpRequest, HttpResponse


@dataclass(frozen=True, slots=True)
class Invocation:
    """One question to an agent; see :meth:`visionpipe.client.service.agents.Agents.invoke`."""

    agent_id: str
    prompt: str | None
    images: tuple[str, ...]
    history: Sequence[Mapping[str, JSON]] = ()
    variables: Mapping[str, JSON] | None = None
    conversation_id: str | None = None

    def check(self) -> None:
        """Raise what the service would refuse."""
        if self.prompt is None and not self.images:
            raise ParameterError("there is neither a prompt nor an image", cure="Give one.", subject="prompt")
        for image in self.images:
            if not image.lower().startswith(("http://", "https://")):
                raise UnsupportedError(
                    "agents take images by link only",
                    cure="Give an http(s) link that the service can reach.",
                    subject=image[:80],
                )

    def body(self, *, stream: bool) -> Body:
        return encode_invocation(
            self.agent_id,
            self.prompt,
            self.images,
            history=self.history,
            variables=self.variables,
            conversation_id=self.conversation_id,
            stream=stream,
        )


@dataclass(frozen=True, slots=True)
class AgentCalls:
    """Makes the generators.

    Attributes:
        calls: of the client.
        policy: how long to wait between two questions.
    """

    calls: Calls
    policy: PollPolicy = field(default_factory=PollPolicy)

    def invoke(self, question: Invocation) -> Generator[Effect, Any, AgentReply]:
        """Ask and read the whole answer, or where it comes later its ``async_id``."""
        make = self._make(question, stream=False)

        def read(response: HttpResponse, answered: Answered) -> AgentReply:
            return self._reply(response, question.agent_id, answered)

        return self.calls.service(make, read)

    def stream(self, question: Invocation) -> Generator[Effect, Any, tuple[Any, EventReader[AgentReply]]]:
        """Ask and open the answer as a stream."""
        make = self._make(question, stream=True)

        def read(stream: Any, answered: Answered) -> tuple[Any, EventReader[AgentReply]]:
            agent_id, request_id = question.agent_id, answered.request_id
            reader = EventReader[AgentReply](
                read=lambda event: reply_of(event, agent_id, request_id),
                refusal=lambda event: self._refusal(event, request_id),
                whole=lambda text, last: replace(
                    reply_of(last, agent_id, request_id), text=text, parts=({"type": "text", "text": text},)
                ),
            )
            return stream, reader

        return self.calls.opened(make, read)

    def result(self, agent_id: str, async_id: str) -> Generator[Effect, Any, AgentReply]:
        """Ask once for a result that comes later."""
        looked = yield from self._look(agent_id, async_id)
        return looked.value

    def wait(
        self, agent_id: str, async_id: str, deadline: float | None
    ) -> Generator[Effect, Any, AgentReply]:
        """Ask until there is a result."""

        def late() -> VisionPipeError:
            return ReplyTimeoutError(
                "the agent has not answered in the time given; it goes on",
                cure=f"Wait for it again: client.agents.wait({agent_id!r}, {async_id!r}).",
                subject=f"agent {agent_id}",
                code="agent_in_progress",
            )

        return poll(
            lambda: self._look(agent_id, async_id),
            policy=self.policy,
            clock=self.calls.clock,
            deadline=deadline,
            late=late,
        )

    def _look(self, agent_id: str, async_id: str) -> Look[AgentReply]:
        address = f"{self._address()}{RESULT}"
        body = encode_question_after(agent_id, async_id)

        def read(response: HttpResponse, answered: Answered) -> Looked[AgentReply]:
            reply = self._reply(response, agent_id, answered)
            return Looked(reply, reply.done, retry_after(response))

        return self.calls.service(
            lambda _: HttpRequest("POST", address, body, timeouts=self.calls.timeouts), read
        )

    def _make(self, question: Invocation, *, stream: bool) -> Callable[[str], HttpRequest]:
        address = self._address()
        question.check()
        body = question.body(stream=stream)
        return lambda _: HttpRequest("POST", address, body, timeouts=self.calls.timeouts)

    def _address(self) -> str:
        settings = self.calls.settings
        require(settings, "agents_url")
        return beside(settings, settings.endpoint.agents_url or "").rstrip("/")

    def _reply(self, response: HttpResponse, agent_id: str, answered: Answered) -> AgentReply:
        answer = read_object(response.body, f"agent {agent_id}")
        refusal = self._refusal(answer, answered.request_id)
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

    def _refusal(self, answer: Mapping[str, Any], request_id: str) -> ServiceError | None:
        error = error_of(answer)
        if error is None:
            return None
        endpoint = self.calls.settings.endpoint
        key = self.calls.settings.api_key
        return service_error(*error, status=None, endpoint=endpoint, request_id=request_id, key=key)
