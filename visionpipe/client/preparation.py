"""From what the caller gave to finished requests: load, repair, build, estimate, check.

Everything that can be found wrong is found here, before a request is spent, and every image
that was changed says so in the request's adjustments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, Protocol

from visionpipe.client.messages import GivenMessages, GivenTurn, read_messages
from visionpipe.client.options import (
    CallOptions,
    MediaSource,
    MediaSources,
    check_options,
    one_by_one,
    parameters_of,
)
from visionpipe.client.settings import Settings
from visionpipe.client.video_parts import ContentLength, VideoParts, linked_clip
from visionpipe.errors import BadImageError, ParameterError, UnsupportedError
from visionpipe.images.encode import apply_repair, has_transparent_pixels
from visionpipe.images.load import IN_MEMORY_BYTES, ImageSource, SeenFile, image_seen, load_image
from visionpipe.media import Frame, Image, LinkedImage, LinkedVideo, Media, Text, Video
from visionpipe.prompts.presets import Language
from visionpipe.registry.estimates import Estimate, estimate, tools_tokens
from visionpipe.registry.records import ModelRecord
from visionpipe.reply import Reply
from visionpipe.request import Message, Request, Role
from visionpipe.sources.addresses import FetchedFile
from visionpipe.stages.check import (
    build_request,
    check_context,
    check_image_count,
    check_media,
    check_parameters,
    request_form,
)
from visionpipe.stages.extraction import Schema, with_schema
from visionpipe.stages.fit import plan_repair, portions
from visionpipe.stages.history import Fitted, Transcript, Turn, fit_history
from visionpipe.stages.tools import FunctionTool, check_tool_choice, choose_tools
from visionpipe.values import Adjustment


class Fetch(Protocol):
    """What downloads a linked image; ``fetch_bytes`` does."""

    def __call__(self, url: str, *, max_bytes: int, timeout_s: float, allow_private: bool) -> FetchedFile: ...


_FETCH_SECONDS = 60.0
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "tool": "tool"}
_WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Requests ready to be sent: one, or several where too many images were split over them.

    ``estimate`` is of them all together; ``functions`` are behind the tools that are offered; ``frames`` are
    those of a clip that is shown by frames, of which the question asks for the numbers it rests on.
    """

    requests: tuple[Request, ...]
    model: ModelRecord
    estimate: Estimate
    functions: tuple[FunctionTool, ...] = ()
    frames: tuple[Frame, ...] = ()

    @property
    def adjustments(self) -> tuple[Adjustment, ...]:
        return tuple(dict.fromkeys(a for request in self.requests for a in request.adjustments))

    def single(self, way: str) -> Request:
        """The one request, for a ``way`` of calling that takes no more.

        Raises:
            UnsupportedError: the images were split over several.
        """
        if len(self.requests) > 1:
            raise UnsupportedError(
                f"{len(self.requests)} requests cannot be one {way}",
                cure="Send fewer images, use on_too_many='contact_sheet', or ask without it.",
                subject=self.model.id,
            )
        return self.requests[0]

    def extracting(self, schema: Schema[Any], lang: Language) -> Prepared:
        """The question, asking for ``schema``."""
        request = with_schema(self.single("extraction"), schema, self.model, lang)
        return replace(self, requests=(request,))

    @property
    def media(self) -> tuple[Media, ...]:
        """The images and clips as they will be sent, in order."""
        return tuple(
            part
            for request in self.requests
            for part in request.messages[-1].parts
            if isinstance(part, Image | LinkedImage | Video | LinkedVideo)
        )


class _Template:
    """What all calls with the same options share, worked out once.

    Raises:
        ParameterError: an option that cannot be; what is wrong with parameters and tools is found later.
    """

    def __init__(self, settings: Settings, options: CallOptions) -> None:
        check_options(options)
        self.options = options
        self.model = settings.model_named(options.get("model"))
        self.functions: tuple[FunctionTool, ...] = ()
        self._settings = settings
        self._form: Request | None = None
        self.parameters_fit = False

    def form(self) -> Request:
        """The request but for its messages."""
        if self._form is None:
            options, model, endpoint = self.options, self.model, self._settings.endpoint
            prefer = options.get("prefer_priority", False)
            tools = choose_tools(options.get("tools", ()), model, prefer_priority=prefer)
            check_tool_choice(options.get("tool_choice"), endpoint)
            self.functions = tools.functions
            self._form = request_form(
                model=model,
                endpoint=endpoint,
                parameters=parameters_of(options),
                system=options.get("system"),
                tools=tools,
                tool_choice=options.get("tool_choice"),
                headers=options.get("headers"),
                cache=options.get("cache", "use"),
            )
        return self._form


class Preparer:
    """Prepares calls for one endpoint. Safe to use from several threads at once."""

    def __init__(
        self, settings: Settings, fetch: Fetch | None = None, content_length: ContentLength | None = None
    ) -> None:
        self._settings = settings
        self._fetch = fetch
        self._videos = VideoParts(settings, content_length)

    def prepare(
        self,
        prompt: str,
        sources: Sequence[MediaSources],
        options: CallOptions,
        transcript: Transcript | None = None,
    ) -> Prepared:
        """Load, repair, build and check one call.

        Args:
            prompt: what to ask.
            sources: images and clips, one by one or in lists.
            options: the call's options.
            transcript: of the conversation so far.

        Raises:
            InputError: an unusable source or option.
            CapabilityError: something the model does not take.
        """
        return self._prepared(_Template(self._settings, options), prompt, sources, transcript)

    def preparing(self, options: CallOptions) -> Callable[[str, Sequence[MediaSources]], Prepared]:
        """``prepare`` for any number of calls with the same options, which are looked at once."""
        return partial(self._prepared, _Template(self._settings, options))

    def _prepared(
        self,
        template: _Template,
        prompt: str,
        sources: Sequence[MediaSources],
        transcript: Transcript | None = None,
    ) -> Prepared:
        if not isinstance(prompt, str):
            raise ParameterError(
                f"it is of type {type(prompt).__name__}, not a text",
                cure="Put the question first, and the images behind it.",
                subject="prompt",
            )
        settings, options, model = self._settings, template.options, template.model
        if options.get("messages") is not None:
            prompt, sources, options, transcript = self._after_messages(prompt, sources, options, transcript)
            template = _Template(settings, options)
        prompt, parts, frames = self._shown(
            prompt, [self._part(source, model, options) for source in one_by_one(sources)], model, options
        )
        groups = self._groups(parts, model, options)
        form = template.form()
        requests: list[Request] = []
        estimates: list[Estimate] = []
        for group in groups:
            said = Fitted()
            if transcript is not None:
                turn = Turn(prompt, tuple(group), options.get("system"), tools_tokens(form.tools))
                said = fit_history(transcript, turn, model, form.parameters, settings.lang)
            request = build_request(
                prompt,
                group,
                form,
                model=model,
                endpoint=settings.endpoint,
                system=options.get("system"),
                history=said.messages,
                published=options.get("publisher") is not None,
            )
            notes = said.adjustments
            if len(groups) > 1:
                split = Adjustment("split", model.id, f"{len(parts)} images over {len(groups)} requests")
                notes = (*notes, split)
            if notes:
                request = replace(request, adjustments=(*request.adjustments, *notes))
            check_media(request, model, settings.registry)
            if not template.parameters_fit:
                check_parameters(form.parameters, model)
                template.parameters_fit = True
            single = estimate(request, model)
            check_context(request, single, model)
            requests.append(request)
            estimates.append(single)
        publisher = options.get("publisher")
        if publisher is not None and not settings.endpoint.local:
            inline = options.get("inline_video", False)
            requests = [
                self._videos.delivered(request, model, publisher, inline_video=inline) for request in requests
            ]
        return Prepared(tuple(requests), model, reduce(_added, estimates), template.functions, frames)

    def begun(self, messages: Any, options: CallOptions) -> tuple[Transcript, CallOptions]:
        """A conversation that goes on behind ``messages``, as the platform writes them.

        Raises:
            ParameterError: they are of another form, or end with a question that nobody has answered.
            InputError: an image in them cannot be used.
        """
        given = read_messages(messages)
        if given.turns[-1].role != "assistant":
            raise ParameterError(
                "the last message is not the model's",
                cure="Leave it out, and ask it as the next turn.",
                subject="load",
            )
        options = _with_system(given, options)
        model = self._settings.model_named(options.get("model"))
        return Transcript(self._earlier(given.turns, model, options)), options

    def _after_messages(
        self,
        prompt: str,
        sources: Sequence[MediaSources],
        options: CallOptions,
        transcript: Transcript | None,
    ) -> tuple[str, Sequence[MediaSources], CallOptions, Transcript]:
        """The call with the messages among its options read: those before the question are what was said."""
        if transcript is not None:
            raise ParameterError(
                "a conversation has its own messages",
                cure="Begin it with client.conversation(load=[...]).",
                subject="messages",
            )
        given = read_messages(options["messages"])
        options = _with_system(given, options)
        turns = given.turns
        if not prompt:
            if turns[-1].role != "user":
                raise ParameterError(
                    "the last message is no question",
                    cure="End with the user's message, or give the question as the prompt.",
                    subject="messages",
                )
            prompt, sources = turns[-1].text, (*turns[-1].sources, *sources)
            turns = turns[:-1]
        model = self._settings.model_named(options.get("model"))
        return prompt, sources, options, Transcript(self._earlier(turns, model, options))

    def _earlier(
        self, turns: Sequence[GivenTurn], model: ModelRecord, options: CallOptions
    ) -> tuple[Message, ...]:
        return tuple(
            Message(
                _ROLES[turn.role],
                tuple(
                    Text(part) if isinstance(part, str) else self._part(part[0], model, options)
                    for part in turn.parts
                ),
                turn.tool_calls,
                turn.tool_call_id,
            )
            for turn in turns
        )

    def _part(self, source: MediaSource | SeenFile, model: ModelRecord, options: CallOptions) -> Media:
        """One source as an image, repaired, or as a clip, not looked at further yet."""
        if isinstance(source, Video | LinkedVideo):
            return source
        clip: Video | LinkedVideo | None = linked_clip(source)
        if clip is not None:
            return clip
        try:
            return self.load(source, model, options)
        except BadImageError as problem:
            behind = source.path if isinstance(source, SeenFile) else source
            clip = self._videos.behind(behind, problem, model, options)
            if clip is None:
                raise
            return clip

    def _shown(
        self, prompt: str, parts: Sequence[Media], model: ModelRecord, options: CallOptions
    ) -> tuple[str, list[Media], tuple[Frame, ...]]:
        """The parts with every clip as the model takes it. Where one clip alone is shown by frames, the
        prompt says of when they are and asks which of them the answer rests on."""
        if not [part for part in parts if isinstance(part, Video | LinkedVideo)]:
            return prompt, list(parts), ()
        images = sum(isinstance(part, Image | LinkedImage) for part in parts)
        shown: list[Media] = []
        frames: tuple[Frame, ...] = ()
        for part in parts:
            if not isinstance(part, Video | LinkedVideo):
                shown.append(part)
                continue
            clip = self._videos.shown(part, images, model, options)
            frames = clip.frames
            shown += clip.parts
            images += len(clip.frames)
        if len(parts) > 1 or not frames:
            return prompt, shown, ()
        from visionpipe.video.question import about_clip

        return about_clip(prompt, [f.time for f in frames], self._settings.lang), shown, frames

    def load(self, source: ImageSource | SeenFile, model: ModelRecord, options: CallOptions) -> Media:
        """One source as the part that will be sent: loaded, and repaired where its model needs it."""
        most, kept = options.get("max_pixels"), options.get("in_memory_bytes", IN_MEMORY_BYTES)
        if isinstance(source, SeenFile):
            part: Image | LinkedImage = image_seen(source, max_pixels=most, in_memory_bytes=kept)
        else:
            part = load_image(source, max_pixels=most, in_memory_bytes=kept)
        if isinstance(part, LinkedImage):
            if not options.get("fetch", False) and self._settings.endpoint.takes_image_urls:
                return part
            part = self._fetched(part, model, options)
        if model.images is None or not options.get("repair", True):
            return part
        repair = plan_repair(
            part,
            model.images,
            transparent=part.alpha and has_transparent_pixels(part),
            max_side=options.get("max_side"),
            background=options.get("background", _WHITE),
        )
        if repair is None:
            return part
        return replace(apply_repair(part, repair), fetched_sha256=part.fetched_sha256)

    def _fetched(self, link: LinkedImage, model: ModelRecord, options: CallOptions) -> Image:
        if self._settings.endpoint.local and not options.get("fetch", False):
            raise UnsupportedError(
                "the embedded engine stays on this machine and follows no links",
                cure="Download the image first, or allow it with fetch=True (--fetch).",
                subject=link.url,
            )
        rules = model.images
        # A picture over the limit can be repaired, so more is let in than the model would take.
        ceiling = 8 * rules.max_bytes if rules is not None and rules.max_bytes is not None else 64 * 1024**2
        fetch = self._fetch or _default_fetch()
        fetched = fetch(
            link.url,
            max_bytes=ceiling,
            timeout_s=_FETCH_SECONDS,
            allow_private=options.get("allow_private", False),
        )
        loaded = load_image(fetched.data, name=link.url, max_pixels=options.get("max_pixels"))
        if not isinstance(loaded, Image):
            raise TypeError("bytes load as an image")
        note = Adjustment("fetched", link.url, f"{len(fetched.data):,} bytes sent instead of the link")
        return replace(
            loaded,
            adjustments=(*loaded.adjustments, note),
            fetched_sha256=hashlib.sha256(fetched.data).hexdigest(),
        )

    def _groups(
        self, parts: Sequence[Media], model: ModelRecord, options: CallOptions
    ) -> list[Sequence[Media]]:
        most = model.images.max_count if model.images else None
        way = options.get("on_too_many", "error")
        if most is None or len(parts) <= most or way == "error":
            return [parts]
        images = [part for part in parts if isinstance(part, Image | LinkedImage)]
        if len(images) <= most:
            return [parts]
        if len(images) < len(parts):
            check_image_count(len(images), model, self._settings.registry)
        if way == "split":
            return [images[run] for run in portions(len(images), most)]
        from visionpipe.images.contact_sheet import contact_sheet

        drawn = [
            self._fetched(image, model, options) if isinstance(image, LinkedImage) else image
            for image in images
        ]
        sheet = contact_sheet(drawn)
        changes = tuple(a for image in drawn for a in image.adjustments)
        return [[replace(sheet, adjustments=(*changes, *sheet.adjustments))]]


def _with_system(given: GivenMessages, options: CallOptions) -> CallOptions:
    """The options with what the messages say of the whole call."""
    if given.system is not None and options.get("system") is not None:
        raise ParameterError("both are given", cure="Leave out one of the two.", subject="system, messages")
    found: CallOptions = {**options}
    if given.system is not None:
        found["system"] = given.system
    if given.detail is not None:
        found.setdefault("detail", given.detail)
    return found


def answered(prepared: Prepared, reply: Reply) -> Reply:
    """The reply as the caller gets it: of a clip shown by frames, with the frames that it rests on noted."""
    if not prepared.frames:
        return reply
    from visionpipe.video.question import grounded

    return grounded(reply, prepared.frames).reply


def _default_fetch() -> Fetch:
    from visionpipe.transport.fetch import fetch_bytes

    return fetch_bytes


def _added(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        complete=one.complete and other.complete,
        cost=one.cost + other.cost if one.cost and other.cost else None,
        source=one.source,
    )
