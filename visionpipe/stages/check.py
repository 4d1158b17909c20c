"""Hold a finished request against its model's record, before anything is spent.

The rule: what the record knows is enforced here with an error that names the limit and the way out; what
it does not know (None) passes.
"""

from __future__ import annotations

from collections.abc import Sequence

from visionpipe.errors import (
    ContextLimitError,
    MediaLimitError,
    TooManyImagesError,
    UnsupportedError,
)
from visionpipe.media import Image, LinkedFile, LinkedImage, LinkedVideo, Part, Video
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import ImageRules, ModelRecord
from visionpipe.request import Parameters, Request
from visionpipe.stages.estimate import Estimate
from visionpipe.stages.parameters import check_parameters
from visionpipe.stages.video_rules import check_video


def check_request(request: Request, model: ModelRecord, registry: Registry) -> None:
    """Raise the first thing that ``model`` would refuse in ``request``.

    Raises:
        TooManyImagesError, MediaLimitError, UnsupportedError: media the model does not take.
        ParameterError: a parameter out of its range.
    """
    parts = [part for message in request.messages for part in message.parts]
    check_kinds(parts, model, registry)
    check_image_count(sum(isinstance(p, Image | LinkedImage) for p in parts), model, registry)
    for part in parts:
        if isinstance(part, Image) and model.images is not None:
            check_image(part, model.images, model.id)
        elif isinstance(part, Video | LinkedVideo) and model.video is not None:
            check_video(part, model.video)
    check_parameters(request.parameters, model)


def check_kinds(parts: Sequence[Part], model: ModelRecord, registry: Registry) -> None:
    """The kinds of media a request holds: known to the model, and not mixed where it forbids that."""
    kinds = {
        "images": any(isinstance(p, Image | LinkedImage) for p in parts),
        "videos": any(isinstance(p, Video | LinkedVideo) for p in parts),
        "files": any(isinstance(p, LinkedFile) for p in parts),
    }
    known = {
        "images": model.images is not None,
        "videos": model.video is not None,
        "files": model.files is not None,
    }
    for kind, present in kinds.items():
        if present and not known[kind]:
            cure = "Send frames of it as images, or choose" if kind == "videos" else "Choose"
            raise UnsupportedError(
                f"{model.id} takes no {kind}", cure=f"{cure} a model that takes them (`visionpipe models`)."
            )
    present_kinds = [kind for kind, present in kinds.items() if present]
    if len(present_kinds) > 1 and not model.mixed_media:
        raise UnsupportedError(
            f"{' and '.join(present_kinds)} in one request, and {model.id} takes one kind at a time",
            cure="Ask about them in separate requests.",
        )


def check_image_count(count: int, model: ModelRecord, registry: Registry) -> None:
    """How many images one request may hold."""
    most = model.images.max_count if model.images else 0
    if most is None or count <= most:
        return
    others = [
        f"{other.id} ({other.images.max_count})"
        for other in registry.models_taking(images=count)
        if other.images is not None
    ][:3]
    more = f"use a model that takes more: {', '.join(others)}; or " if others else ""
    raise TooManyImagesError(
        f"{count} images, and {model.id} takes {most} in one request",
        cure=f"Send at most {most}; {more}allow a repair with on_too_many='split' or 'contact_sheet'.",
        subject=model.id,
    )


def check_image(image: Image, rules: ImageRules, model_id: str) -> None:
    """One image against the record's bytes, pixels and formats."""
    if image.format not in rules.formats:
        raise MediaLimitError(
            f"{image.format} is none of {', '.join(rules.formats)}, which {model_id} takes",
            cure="Convert it, or leave repair on.",
            subject=image.name,
            code="format",
        )
    if rules.max_bytes is not None and image.size > rules.max_bytes:
        raise MediaLimitError(
            f"{image.size:,} bytes, and {model_id} takes {rules.max_bytes:,}",
            cure="Shrink it, or leave repair on.",
            subject=image.name,
            code="bytes",
        )
    if rules.max_side_px is not None and max(image.width, image.height) > rules.max_side_px:
        raise MediaLimitError(
            f"{image.width}x{image.height} px, and {model_id} takes {rules.max_side_px} a side",
            cure="Shrink it, or leave repair on.",
            subject=image.name,
            code="pixels",
        )


def input_room(parameters: Parameters, model: ModelRecord) -> int | None:
    """The most tokens of input, by the platform's FAQ: the context less the output asked for; None where the
    context is not known."""
    if model.context_tokens is None:
        return None
    most = model.max_output_tokens or model.context_tokens
    return model.context_tokens - (parameters.max_tokens or min(model.default_output_tokens or 0, most))


def check_context(request: Request, estimate: Estimate, model: ModelRecord) -> None:
    """The platform's rule: input at most the context less the output asked for.

    Raises:
        ContextLimitError: the estimate is over that.
    """
    room = input_room(request.parameters, model)
    if room is None or model.context_tokens is None:
        return
    if estimate.prompt_tokens > room:
        output = model.context_tokens - room
        raise ContextLimitError(
            f"about {estimate.prompt_tokens:,} tokens of input, and {model.id} has room for {room:,} "
            f"({model.context_tokens:,} of context less {output:,} of output)",
            cure="Send fewer or smaller images or less text, lower max_tokens, or choose a longer context.",
            subject=model.id,
        )
