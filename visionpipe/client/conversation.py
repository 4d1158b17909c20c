"""Several turns with one model: what was said and shown goes along with every question.

talk = client.conversation(system="Be brief.")
talk.ask("Who is it?", "team.jpg")
talk.ask("And the one behind?")

A turn enters the history when it has been answered, and not before; what of the history a request
leaves out is in its reply's adjustments (see :mod:`visionpipe.stages.history`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, Self, Unpack

from visionpipe.client._async.stream import AsyncStream
from visionpipe.client._sync.stream import Stream
from visionpipe.client.calls import Calls
from visionpipe.client.drive import AsyncRun, Run
from visionpipe.client.options import CallOptions, merged
from visionpipe.client.preparation import Prepared
from visionpipe.client.saved_talk import load_talk, save_talk
from visionpipe.client.tool_loop import ToolLimits, check_functions, tool_loop
from visionpipe.errors import UnsupportedError
from visionpipe.media import Text
from visionpipe.reply import Reply
from visionpipe.request import Message
from visionpipe.stages.estimate import message_tokens
from visionpipe.stages.history import Transcript


class Prepare(Protocol):
    """Loads, repairs and checks one turn."""

    def __call__(
        self, prompt: str, sources: tuple[Any, ...], options: CallOptions, transcript: Transcript
    ) -> Prepared: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a conversation works with: the client's calls, its preparation, and its way to carry calls out."""

    calls: Calls
    prepare: Prepare
    limits: ToolLimits


class _Talk:
    """What both faces share: the history and what is done with it."""

    def __init__(self, means: Means, options: CallOptions, transcript: Transcript) -> None:
        self._means = means
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

    def save(self, path: str | os.PathLike[str], *, embed: bool = False) -> None:
        """Write the conversation as JSON.

        Args:
            path: of the file; it is whole or as it was before.
            embed: put everything into the file. Otherwise images of several megabytes that lie on disk are
                kept by their path; see :mod:`visionpipe.client.saved_talk`.

        Raises:
            OutputError: it cannot be written.
        """
        save_talk(path, self._transcript, self.system, embed=embed)

    def _prepared(self, prompt: str, images: tuple[Any, ...], options: CallOptions) -> Prepared:
        return self._means.prepare(prompt, images, merged(self._options, options), self._transcript)

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


class Conversation(_Talk):
    """A conversation of a :class:`visionpipe.client.client.Client`, made by its ``conversation``. One turn at
    a time; :meth:`fork` for several."""

    def __init__(
        self,
        means: Means,
        options: CallOptions,
        transcript: Transcript,
        run: Run,
        open_: Callable[..., Stream],
    ) -> None:
        super().__init__(means, options, transcript)
        self._run = run
        self._open = open_

    def ask(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Reply:
        """The next turn; functions given as ``tools`` are run.

        Args:
            prompt, images, options: as for ``client.ask``; options hold for this turn only.

        Raises:
            ContextLimitError: the turn alone is more than the model can read.
            VisionPipeError: as for ``client.ask`` and ``client.run_tools``. The history stays as it was.
        """
        prepared = self._prepared(prompt, images, options)
        check_functions(prepared, awaited=False)
        said = self._said(prepared, prompt)
        exchange = self._run(tool_loop(self._means.calls, prepared, self._means.limits))
        self._keep(prepared, (said, *exchange.messages), exchange.prompt_tokens)
        return exchange.reply

    def stream(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Stream:
        """As :meth:`ask`, giving the text piece by piece; the turn counts once the stream is read to its end.

        Raises:
            UnsupportedError: functions among the tools.
        """
        prepared = self._prepared(prompt, images, options)
        keep = self._keep_streamed(prepared, prompt)
        return self._open(prepared, keep)

    def fork(self) -> Self:
        """A second conversation that goes on from here on its own."""
        return type(self)(self._means, self._options, self._transcript, self._run, self._open)


class AsyncConversation(_Talk):
    """As :class:`Conversation`, awaited."""

    def __init__(
        self,
        means: Means,
        options: CallOptions,
        transcript: Transcript,
        run: AsyncRun,
        open_: Callable[..., Coroutine[Any, Any, AsyncStream]],
    ) -> None:
        super().__init__(means, options, transcript)
        self._run = run
        self._open = open_

    async def ask(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> Reply:
        """As :meth:`Conversation.ask`; asynchronous functions are awaited, others run in a thread."""
        prepared = await asyncio.to_thread(self._prepared, prompt, images, options)
        check_functions(prepared, awaited=True)
        said = self._said(prepared, prompt)
        exchange = await self._run(tool_loop(self._means.calls, prepared, self._means.limits))
        self._keep(prepared, (said, *exchange.messages), exchange.prompt_tokens)
        return exchange.reply

    async def stream(self, prompt: str, *images: Any, **options: Unpack[CallOptions]) -> AsyncStream:
        """As :meth:`Conversation.stream`."""
        prepared = await asyncio.to_thread(self._prepared, prompt, images, options)
        return await self._open(prepared, self._keep_streamed(prepared, prompt))

    def fork(self) -> Self:
        """As :meth:`Conversation.fork`."""
        return type(self)(self._means, self._options, self._transcript, self._run, self._open)


def begin(load: str | os.PathLike[str] | None, options: CallOptions) -> tuple[Transcript, CallOptions]:
    """A new transcript, or the one in a file, whose system text holds unless the options have their own."""
    if load is None:
        return Transcript(), options
    transcript, system = load_talk(load)
    if system is not None and "system" not in options:
        return transcript, {**options, "system": system}
    return transcript, options
