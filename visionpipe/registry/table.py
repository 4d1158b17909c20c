"""The catalog as rows of short texts, for ``visionpipe models`` and for the README's table of limits.

A cell says what the record says; "?" stands where nobody states a figure, "-" where the model
does not have the thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visionpipe.registry.lookup import Registry
    from visionpipe.registry.records import ModelRecord, Price

UNKNOWN, ABSENT = "?", "-"
_SYMBOLS = {"CNY": "¥", "USD": "$", "EUR": "€"}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model in words.

    Attributes:
        model: its id.
        state: current, legacy, special or generic.
        images: most images a request.
        image_limit: most bytes and pixels of one image.
        video: what a clip may be.
        context: tokens of context.
        output: most tokens of an answer.
        thinking: never, always or switchable.
        tools: kinds of tools it takes.
        price: per million tokens, input / output.
        endpoints: where it is offered.
    """

    model: str
    state: str
    images: str
    image_limit: str
    video: str
    context: str
    output: str
    thinking: str
    tools: str
    price: str
    endpoints: str


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint in words; ``key`` names the environment variables looked at, in order."""

    endpoint: str
    base_url: str
    key: str
    default_model: str
    surfaces: str


def model_rows(registry: Registry, *, generic: bool = False) -> list[ModelRow]:
    """A row a model, in the catalog's order; with ``generic`` also the records for unknown ids."""
    return [
        ModelRow(
            model=record.id,
            state=record.state,
            images=_images(record),
            image_limit=_image_limit(record),
            video=_video(record),
            context=tokens_text(record.context_tokens),
            output=tokens_text(record.max_output_tokens),
            thinking=record.thinking.mode,
            tools=", ".join(record.tools) or ABSENT,
            price=_prices(record),
            endpoints=", ".join(record.endpoints) or ABSENT,
        )
        for record in registry.models()
        if generic or record.state != "generic"
    ]


def endpoint_rows(registry: Registry) -> list[EndpointRow]:
    """A row an endpoint, in the catalog's order."""
    rows = []
    for record in registry.endpoints():
        has = {
            "tasks": record.tasks,
            "batches": record.batches,
            "files": record.files,
            "tokenizer": record.tokenizer,
            "fine-tuning": record.fine_tuning,
            "agents": record.agents_url is not None,
        }
        rows.append(
            EndpointRow(
                endpoint=record.id,
                base_url=record.base_url,
                key=", ".join(record.key_variables) or ABSENT,
                default_model=record.default_model or ABSENT,
                surfaces=", ".join(["chat", *(name for name, there in has.items() if there)]),
            )
        )
    return rows


def markdown_table(rows: Sequence[ModelRow] | Sequence[EndpointRow]) -> str:
    """``rows`` as a Markdown table, ending in a line feed; empty for no rows."""
    if not rows:
        return ""
    heads = [field.name.replace("_", " ") for field in fields(rows[0])]
    lines = [heads, ["---"] * len(heads), *([_escaped(cell) for cell in astuple(row)] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tokens_text(count: int | None) -> str:
    """A number of tokens as people say it: 131072 is 128K, 200000 is 200K, 1000000 is 1M."""
    if count is None:
        return UNKNOWN
    for unit, letter in ((1_000_000, "M"), (1000, "K"), (1024, "K")):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{letter}"
    return f"{count:,}"


def bytes_text(count: int) -> str:
    """A number of bytes in the largest whole binary unit: 5242880 is 5 MiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} B"


def _images(record: ModelRecord) -> str:
    if record.images is None:
        return ABSENT
    count = UNKNOWN if record.images.max_count is None else str(record.images.max_count)
    return f"{count}, by URL" if record.images.transfer == "url_preferred" else count


def _image_limit(record: ModelRecord) -> str:
    rules = record.images
    if rules is None:
        return ABSENT
    parts = [
        bytes_text(rules.max_bytes) if rules.max_bytes is not None else "",
        f"{rules.max_side_px} px" if rules.max_side_px is not None else "",
        "/".join(rules.formats),
    ]
    return ", ".join(part for part in parts if part)


def _video(record: ModelRecord) -> str:
    rules = record.video
    if rules is None:
        return ABSENT
    parts = [
        f"< {bytes_text(rules.below_bytes)}" if rules.below_bytes is not None else "",
        f"<= {rules.max_seconds:g} s" if rules.max_seconds is not None else "",
        "/".join(rules.containers),
        "first part" if rules.must_be_first else "",
    ]
    return ", ".join(part for part in parts if part) or UNKNOWN


def _prices(record: ModelRecord) -> str:
    """All prices, with the endpoints that charge them where others have the model too."""
    groups: dict[tuple[str, ...], list[Price]] = {}
    for price in record.prices:
        groups.setdefault(price.endpoints, []).append(price)
    texts = []
    for endpoints, prices in groups.items():
        free = all(price.input == price.output == 0 for price in prices)
        text = "free" if free else "; ".join(_price(price) for price in prices)
        everywhere = not endpoints or set(endpoints) >= set(record.endpoints)
        texts.append(text if everywhere else f"{text} ({', '.join(endpoints)})")
    return "; ".join(texts) or UNKNOWN


def _price(price: Price) -> str:
    symbol = _SYMBOLS.get(price.currency)
    unit = symbol or f"{price.currency} "
    amounts = f"{unit}{price.input.normalize():f} / {unit}{price.output.normalize():f}"
    if price.up_to_prompt_tokens is None:
        return amounts
    return f"{amounts} up to {tokens_text(price.up_to_prompt_tokens)}"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
