"""The shapes of the catalog's records: what a model and an endpoint can do, as data.

The rule: no model or endpoint name appears in a condition anywhere in the package; whatever differs
between them is a field here. None means "no limit known", never "unlimited by decision".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, and strict about unknown keys, so that a typing error in an overlay is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageRules(Record):
    """What one request may hold of images. Sizes are of the encoded file, before base64.

    ``useful_pixels``: beyond this the model's own preprocessing shrinks the picture, so an image that
    must be re-encoded anyway loses nothing by being brought down to it. ``transfer``: "url_preferred"
    marks models whose documentation refuses base64 while the platform's FAQ allows it.
    """

    max_count: int | None = None
    max_bytes: int | None = None
    max_side_px: int | None = None
    useful_pixels: int | None = None
    formats: tuple[str, ...] = ("jpeg", "png")
    transfer: Literal["any", "url_preferred"] = "any"


class VideoRules(Record):
    """What one request may hold of videos. ``below_bytes`` is exclusive: a file must be smaller."""

    max_count: int | None = 1
    below_bytes: int | None = None
    max_seconds: float | None = None
    containers: tuple[str, ...] = ("mp4",)
    inline: bool = False
    must_be_first: bool = False


class FileRules(Record):
    """Documents by link."""

    max_count: int | None = None
    formats: tuple[str, ...] = ()


class SamplingRules(Record):
    """Ranges (both ends included) and defaults; ``exclusive``: temperature and top_p not together."""

    temperature_max: float = 1.0
    top_p_max: float = 1.0
    default_temperature: float | None = None
    default_top_p: float | None = None
    exclusive: bool = True
    max_stop: int | None = None


class ThinkingRules(Record):
    """never: does not think. always: cannot be turned off. switchable: by the ``thinking`` field."""

    mode: Literal["never", "always", "switchable"] = "never"
    efforts: tuple[str, ...] = ()


class Price(Record):
    """Per million tokens, for prompts of up to ``up_to_prompt_tokens`` (None: of any length)."""

    input: Decimal
    output: Decimal
    currency: str = "CNY"
    up_to_prompt_tokens: int | None = None


class TokenRules(Record):
    """How to estimate an image's tokens: by a named formula, or a flat figure.

    ``longest_edge_px`` is the pixel budget of the "patch28" formula (two frames an image).
    """

    formula: Literal["patch28", "flat"] = "flat"
    flat: int | None = None
    longest_edge_px: int = 9_633_792
    source: str = ""


class ModelRecord(Record):
    """One model's limits, abilities and prices."""

    id: str
    aliases: tuple[str, ...] = ()
    base: str | None = None
    endpoints: tuple[str, ...] = ()
    state: Literal["current", "legacy", "special", "generic", "unknown"] = "current"
    context_tokens: int | None = None
    default_output_tokens: int | None = None
    max_output_tokens: int | None = None
    images: ImageRules | None = ImageRules()
    video: VideoRules | None = None
    files: FileRules | None = None
    mixed_media: bool = False
    sampling: SamplingRules = SamplingRules()
    thinking: ThinkingRules = ThinkingRules()
    tools: tuple[Literal["function", "retrieval", "web_search"], ...] = ()
    structured_output: bool = False
    system_role: bool = True
    prices: tuple[Price, ...] = ()
    tokens: TokenRules = TokenRules()
    concurrency: int = 4
    tasks: bool = False
    batch_queue: int | None = None
    counts_tokens: bool = False
    sources: dict[str, str] = {}
    doubts: dict[str, str] = {}


class EndpointRecord(Record):
    """One service: where it is, how it is spoken to, and which surfaces it has.

    ``dialect``: "glm" is BigModel's and Z.ai's, "openai" the plain chat-completions form. ``default_model``
    is asked when the caller names none; ``unknown_model`` is the record whose limits hold for ids that the
    catalog does not know.
    """

    id: str
    title: str
    base_url: str
    hosts: tuple[str, ...] = ()
    dialect: Literal["glm", "openai"] = "openai"
    key_variables: tuple[str, ...] = ()
    key_required: bool = True
    default_model: str | None = None
    unknown_model: str
    base64_form: Literal["bare", "data_uri"] = "data_uri"
    takes_image_urls: bool = True
    sends_request_id: bool = False
    stream_usage_option: bool = False
    output_limit_field: str = "max_tokens"
    headers: dict[str, str] = {}
    tasks: bool = False
    batches: bool = False
    tokenizer: bool = False
    files: bool = False
    agents_url: str | None = None
    local: bool = False
    error_hints: dict[str, str] = {}
    sources: dict[str, str] = {}
    doubts: dict[str, str] = {}
