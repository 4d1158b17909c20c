"""The service's agents, as the caller holds them.

client.agents.invoke("receipt_recognition_agent", images=["https://example.com/receipt.png"]).text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visionpipe.client._async.stream import AsyncEventStream
from visionpipe.client._sync.stream import EventStream
from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.service.agent_calls import AgentCalls, Invocation
from visionpipe.client.service.application_calls import ApplicationCalls
from visionpipe.client.service.applications import Applications, AsyncApplications
from visionpipe.values import JSON
from visionpipe.wire.agents import AgentReply


@dataclass(frozen=True, slots=True)
class Agents:
    """``client.agents``."""

    _calls: AgentCalls
    _run: Run

    @property
    def applications(self) -> Applications:
        """The older application API."""
        return Applications(ApplicationCalls(self._calls.calls), self._run)

    def invoke(
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
        question = Invocation(agent_id, prompt, tuple(images), history, variables, conversation_id)
        return self._run(self._calls.invoke(question))

    def stream(
        self,
        agent_id: str,
        prompt: str | None = None,
        *,
        images: Sequence[str] = (),
        history: Sequence[Mapping[str, JSON]] = (),
        variables: Mapping[str, JSON] | None = None,
        conversation_id: str | None = None,
    ) -> EventStream[AgentReply]:
        """As :meth:`invoke`, giving the text piece by piece; ``.reply`` at the end."""
        question = Invocation(agent_id, prompt, tuple(images), history, variables, conversation_id)
        return EventStream(*self._run(self._calls.stream(question)))

    def result(self, agent_id: str, async_id: str) -> AgentReply:
        """How an answer that comes later stands."""
        return self._run(self._calls.result(agent_id, async_id))

    def wait(self, agent_id: str, async_id: str, deadline: float | None = None) -> AgentReply:
        """An answer that comes later.

        Args:
            deadline: seconds from now; None waits as long as it takes.

        Raises:
            ReplyTimeoutError: the deadline passed (code "agent_in_progress"); the agent goes on.
            ServiceError: the agent failed.
        """
        return self._run(self._calls.wait(agent_id, async_id, deadline))


@dataclass(frozen=True, slots=True)
class AsyncAgents:
    """As :class:`Agents`, awaited."""

    _calls: AgentCalls
    _run: AsyncRun

    @property
    def applications(self) -> AsyncApplications:
        """The older application API."""
        return AsyncApplications(ApplicationCalls(self._calls.calls), self._run)

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
        """As :meth:`Agents.invoke`."""
        question = Invocation(agent_id, prompt, tuple(images), history, variables, conversation_id)
        return await self._run(self._calls.invoke(question))

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
        """As :meth:`Agents.stream`."""
        question = Invocation(agent_id, prompt, tuple(images), history, variables, conversation_id)
        return AsyncEventStream(*await self._run(self._calls.stream(question)))

    async def result(self, agent_id: str, async_id: str) -> AgentReply:
        """As :meth:`Agents.result`."""
        return await self._run(self._calls.result(agent_id, async_id))

    async def wait(self, agent_id: str, async_id: str, deadline: float | None = None) -> AgentReply:
        """As :meth:`Agents.wait`."""
        return await self._run(self._calls.wait(agent_id, async_id, deadline))
