"""Several turns with one model: what was said and shown goes along with every question.

talk = client.conversation(system="Be brief.")
talk.ask("Who is it?", "team.jpg")
talk.ask("And the one behind?")

A turn enters the history when it has been answered, and not before; what of the history a request
leaves out is in its reply's adjustments (see ``visionpipe.stages.history``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self, Unpack

from visionpipe.client._async.calls import AsyncCalls, run_tools_async
from visionpipe.client._async.stream import AsyncStream
from visionpipe.client.conversation_file import save_conversation
from visionpipe.client.options import CallOptions, MediaSources, merged
from visionpipe.client.preparation import Prepared, Preparer
from visionpipe.client.threads import in_thread_async
from visionpipe.client.tool_loop import ToolLimits, check_functions_async
from visionpipe.errors import UnsupportedError
from visionpipe.media import Text
from visionpipe.registry.estimates import message_tokens
from visionpipe.reply import Reply
from visionpipe.request import Message
from visionpipe.stages.history import Transcript


class AsyncConversation:
    """A conversation, made by the client's ``conversation``. One turn at a time; ``fork`` for several."""

    def __init__(
        self,
        calls: AsyncCalls,
        preparer: Preparer,
        limits: ToolLimits,
        options: CallOptions,
        transcript: Transcript,
    ) -> None:
        self._calls = calls
        self._preparer = preparer
        self._limits = limits
        self._options = options
        self._transcript = transcript

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that was said so far, without the system text; nothing is ever left out of it."""
        return self._transcript.messages

    @property
    def system(self) -> str | None:
        """The system text."""
        return self._options.get("system")

    async def ask(self, prompt: str, *images: MediaSources, **options: Unpack[CallOptions]) -> Reply:
        """The next turn; functions given as ``tools`` are run. The asyncio client awaits asynchronous ones,
        and runs others in a thread.

        Args:
            prompt: as for ``client.ask``.
            images: as for ``client.ask``.
            options: as for ``client.ask``, for this turn only.

        Raises:
            ContextLimitError: the turn alone is more than the model can read.
            VisionPipeError: as for ``client.ask`` and ``client.run_tools``. The history stays as it was.
        """
        prepared = await in_thread_async(self._prepared, prompt, images, options)
        check_functions_async(prepared)
        said = self._said(prepared, prompt)
        turn = await run_tools_async(self._calls, prepared, self._limits)
        self._keep(prepared, (said, *turn.messages), turn.prompt_tokens)
        return turn.reply

    async def stream(self, prompt: str, *images: MediaSources, **options: Unpack[CallOptions]) -> AsyncStream:
        """As ``ask``, giving the text piece by piece; the turn counts once the stream is read to its end.

        Raises:
            UnsupportedError: functions among the tools.
        """
        prepared = await in_thread_async(self._prepared, prompt, images, options)
        keep = self._keep_streamed(prepared, prompt)
        return await self._calls.streamed(prepared.single("stream"), prepared.model, keep)

    def fork(self) -> Self:
        """A second conversation that goes on from here on its own."""
        return type(self)(self._calls, self._preparer, self._limits, self._options, self._transcript)

    def save(self, path: str | os.PathLike[str], *, embed: bool = False) -> None:
        """Write the conversation as JSON.

        Args:
            path: of the file; it is whole or as it was before.
            embed: put everything into the file. Otherwise images of several megabytes that lie on disk are
                kept by their path; see ``visionpipe.client.conversation_file``.

        Raises:
            OutputError: it cannot be written.
        """
        save_conversation(path, self._transcript, self.system, embed=embed)

    def _prepared(self, prompt: str, images: tuple[MediaSources, ...], options: CallOptions) -> Prepared:
        return self._preparer.prepare(prompt, images, merged(self._options, options), self._transcript)

    def _said(self, prepared: Prepared, prompt: str) -> Message:
        """The user's message for the history: as sent, without a system text put before the prompt."""
        sent = prepared.single("turn of a conversation").messages[-1].parts
        return Message("user", (*(part for part in sent if not isinstance(part, Text)), Text(prompt)))

    def _keep(self, prepared: Prepared, messages: tuple[Message, ...], counted: int | None) -> None:
        model, request = prepared.model, prepared.single("turn of a conversation")
        unknown = sum(message_tokens(message, model)[1] for message in request.messages)
        so_far = self._transcript
        self._transcript = Transcript(
            (*so_far.messages, *messages),
            so_far.calibration.after(prepared.estimate.prompt_tokens, unknown, counted),
        )

    def _keep_streamed(self, prepared: Prepared, prompt: str) -> Callable[[Reply], None]:
        if prepared.functions:
            raise UnsupportedError(
                "functions are not run while an answer is streamed",
                cure="Use ask, which runs them.",
                subject="tools",
            )
        said = self._said(prepared, prompt)

        def keep(reply: Reply) -> None:
            counted = reply.usage.prompt_tokens if reply.usage else None
            self._keep(prepared, (said, Message("assistant", (Text(reply.text),))), counted)

        return keep
