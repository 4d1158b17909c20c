"""The shapes of the catalog's records: what a model and an endpoint can do, as data.

No model or endpoint name appears in a condition anywhere in the package; whatever differs
between them is a field here. None means "no limit known", never "unlimited by decision". In a catalog file
`false` stands for None where a limit or a kind of media may be absent, since TOML has no null.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator


class CatalogRecord(BaseModel):
    """Frozen, and strict about unknown keys, so that a typing error in an overlay is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _false_means_none(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        absent = {name for name, value in given.items() if value is False and cls._may_be_absent(name)}
        return {name: None if name in absent else value for name, value in given.items()}

    @classmethod
    def _may_be_absent(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        return field is not None and type(None) in get_args(field.annotation)


class ImageRules(CatalogRecord):
    """What one request may hold of images. Sizes are of the encoded file, before base64.

    ``useful_pixels``: beyond this the model's own preprocessing shrinks the picture, so an image that
    must be re-encoded anyway loses nothing by being brought down to it. ``transfer``: "url_preferred"
    marks models whose documentation refuses base64 while the platform's FAQ allows it.
    """

    max_count: PositiveInt | None = None
    max_bytes: PositiveInt | None = None
    max_side_px: PositiveInt | None = None
    useful_pixels: PositiveInt | None = None
    formats: tuple[str, ...] = ("jpeg", "png")
    transfer: Literal["any", "url_preferred"] = "any"


class VideoRules(CatalogRecord):
    """What one request may hold of videos. ``below_bytes`` is exclusive: a file must be smaller."""

    max_count: PositiveInt | None = 1
    below_bytes: PositiveInt | None = None
    max_seconds: PositiveFloat | None = None
    containers: tuple[str, ...] = ("mp4",)
    inline: bool = False
    must_be_first: bool = False


class FileRules(CatalogRecord):
    """Documents by link."""

    max_count: PositiveInt | None = None
    formats: tuple[str, ...] = ()


class SamplingRules(CatalogRecord):
    """Ranges (both ends included) and defaults; ``exclusive``: temperature and top_p not together."""

    temperature_max: float = 1.0
    top_p_max: float = 1.0
    default_temperature: float | None = None
    default_top_p: float | None = None
    exclusive: bool = True
    max_stop: NonNegativeInt | None = None


class ThinkingRules(CatalogRecord):
    """never: does not think. always: cannot be turned off. switchable: by the field that its endpoint has for
    it (``EndpointRecord.thinking``). unknown: nobody says, so nothing is taken for granted."""

    mode: Literal["never", "always", "switchable", "unknown"] = "never"
    efforts: tuple[str, ...] = ()


class Price(CatalogRecord):
    """Per million tokens, for prompts of up to ``up_to_prompt_tokens`` (None: of any length).

    ``cached`` is for input that the service took from its cache; None: as other input. ``endpoints`` are the
    services that charge it; empty: all that have the model.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    currency: str = "CNY"
    up_to_prompt_tokens: PositiveInt | None = None
    endpoints: tuple[str, ...] = ()


class TokenRules(CatalogRecord):
    """How to estimate an image's tokens: by a named formula, or a flat figure.

    ``longest_edge_px`` is the pixel budget of the "patch28" formula (two frames an image), below
    ``shortest_edge_px`` an image is scaled up,
    ``video_longest_edge_px`` that of a whole clip.
    """

    formula: Literal["patch28", "flat"] = "flat"
    flat: PositiveInt | None = None
    shortest_edge_px: PositiveInt = 12_544
    longest_edge_px: PositiveInt = 9_633_792
    video_longest_edge_px: PositiveInt = 47_040_000
    source: str = ""


class ModelRecord(CatalogRecord):
    """One model's limits, abilities and prices.

    ``base`` is the model a fine-tuned one was made from, whose fields hold where this record is silent.
    ``matches`` are patterns of ids in lower case (``*qwen3-vl*thinking*``): an id that the catalog does not
    know otherwise takes this record's ``thinking``. ``batches``: whether it is taken in batch files where
    the endpoint has them. ``cures`` say what helps where a code of the service has a cause of its own with
    this model. ``concurrency`` is where a limiter starts, not a limit. ``purposes`` are the presets that it
    serves where it follows no prompt of the caller's own, with the packages that each needs, which the extra
    of its name brings; None: any prompt. ``sources`` and ``doubts`` are keyed by field
    (``"images.max_bytes"``): where a figure comes from and when it was read, and what speaks against it.
    """

    id: str
    aliases: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    base: str | None = None
    endpoints: tuple[str, ...] = ()
    state: Literal["current", "legacy", "special", "generic", "unknown"] = "current"
    context_tokens: PositiveInt | None = None
    default_output_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None
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
    concurrency: PositiveInt = 4
    tasks: bool = False
    batches: bool = False
    batch_queue: PositiveInt | None = None
    counts_tokens: bool = False
    cures: dict[str, str] = {}
    purposes: dict[str, tuple[str, ...]] | None = None
    sources: dict[str, str] = {}
    doubts: dict[str, str] = {}


class ThinkingSwitch(CatalogRecord):
    """How a service is told to think or not: fields of the body, as they are sent."""

    on: dict[str, Any]
    off: dict[str, Any]


class EndpointRecord(CatalogRecord):
    """One service: where it is, how it is spoken to, and which surfaces it has.

    ``dialect``: "glm" is BigModel's and Z.ai's, "openai" the plain chat-completions form. ``default_model``
    is asked when the caller names none; ``unknown_model`` is the record whose limits hold for ids that the
    catalog does not know. ``hosts`` are the hosts (or host:port) that belong to this service and its keys;
    ``"*.example.com"`` all below one. ``url_paths``: a base URL that ends so speaks this dialect, on whatever
    host. ``url_is_example``: each customer has a base URL of their own. ``query`` stands behind every chat
    call's path; ``query_names`` are those that a base URL may bring. ``key_header`` carries the key where it
    is not Authorization. ``thinking`` is how thinking is switched here; None: that is not known.
    ``headers`` go with every request, and like the key they are masked where an error quotes them.
    ``error_hints``: lower-case text in the service's message -> the cure; such an error is not retried.
    ``batch_price_factor``: what a call in a batch file costs, relative to the list price.
    ``applications_url``: the older agents' API. ``for_any_url`` marks the record for base URLs of hosts that
    no other record names.
    """

    id: str
    title: str
    aliases: tuple[str, ...] = ()
    base_url: str
    url_is_example: bool = False
    url_paths: tuple[str, ...] = ()
    query_names: tuple[str, ...] = ()
    query: dict[str, str] = {}
    hosts: tuple[str, ...] = ()
    dialect: Literal["glm", "openai"] = "openai"
    key_variables: tuple[str, ...] = ()
    key_required: bool = True
    key_header: str = "authorization"
    default_model: str | None = None
    unknown_model: str
    base64_form: Literal["bare", "data_uri"] = "data_uri"
    takes_image_urls: bool = True
    sends_request_id: bool = False
    stream_usage_option: bool = False
    output_limit_field: str = "max_tokens"
    thinking: ThinkingSwitch | None = None
    headers: dict[str, str] = Field(default={}, repr=False)
    tasks: bool = False
    batches: bool = False
    batch_price_factor: Decimal | None = None
    tokenizer: bool = False
    files: bool = False
    fine_tuning: bool = False
    agents_url: str | None = None
    applications_url: str | None = None
    local: bool = False
    for_any_url: bool = False
    error_hints: dict[str, str] = {}
    sources: dict[str, str] = {}
    doubts: dict[str, str] = {}

    def with_headers(self, headers: Mapping[str, str]) -> EndpointRecord:
        """The record with further headers."""
        return self.model_copy(update={"headers": {**self.headers, **headers}}) if headers else self


BATCH_LINES = 50_000
"""The most requests in one batch file."""

BATCH_METADATA = 16
"""The most keys of a batch's metadata."""

BATCH_ID_LENGTH = 6
"""The fewest characters of a line's ``custom_id``."""

USER_ID_LENGTHS = range(6, 129)
REQUEST_ID_LENGTHS = range(6, 65)
"""Characters of ``user_id`` and of ``request_id``."""


def in_words(lengths: range) -> str:
    """The lengths that are allowed, as "6 to 128"."""
    return f"{lengths.start} to {lengths.stop - 1}"
