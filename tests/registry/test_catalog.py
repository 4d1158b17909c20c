"""The built-in catalog: every record holds together, and every figure says where it comes from."""

from __future__ import annotations

import re

import pytest

from visionpipe.registry.estimates import image_tokens, video_tokens
from visionpipe.registry.lookup import Registry
from visionpipe.registry.records import EndpointRecord, ModelRecord

REGISTRY = Registry.load()
MODELS = REGISTRY.models()
ENDPOINTS = REGISTRY.endpoints()
DATED = re.compile(r"\b20\d\d\b")

NAMED = (
    "glm-4v",
    "glm-4v-plus",
    "glm-4v-plus-0111",
    "glm-4v-flash",
    "glm-4.1v-thinking-flash",
    "glm-4.1v-thinking-flashx",
    "glm-4.5v",
    "glm-4.6v",
    "glm-4.6v-flash",
    "glm-4.6v-flashx",
    "glm-5v-turbo",
    "glm-5.3-flash",
    "glm-5.3-flashx",
    "autoglm-phone",
    "visionpipe-local",
)


def limits(record: ModelRecord) -> dict[str, object]:
    """Every figure of a record that something is held to, by the key of its source."""
    found: dict[str, object] = {
        "context_tokens": record.context_tokens,
        "default_output_tokens": record.default_output_tokens,
        "max_output_tokens": record.max_output_tokens,
        "batch_queue": record.batch_queue,
        "concurrency": record.concurrency,
        "sampling": record.sampling,
        "thinking": record.thinking,
        "tools": record.tools or None,
        "prices": record.prices or None,
        "tokens": record.tokens.source or None,
        "tasks": record.tasks or None,
        "batches": record.batches or None,
        "counts_tokens": record.counts_tokens or None,
        "structured_output": record.structured_output or None,
        "system_role": None if record.system_role else False,
    }
    for name in ("images", "video", "files"):
        rules = getattr(record, name)
        if rules is not None:
            found |= {f"{name}.{part}": value for part, value in rules.model_dump().items()}
    absent: tuple[object, ...] = (None, (), "any")
    defaults = ("video.inline", "video.must_be_first")
    return {k: v for k, v in found.items() if v not in absent and not (k in defaults and v is False)}


@pytest.mark.parametrize("name", NAMED)
def test_every_vision_model_is_known(name: str) -> None:
    assert REGISTRY.knows(name)
    assert REGISTRY.model(name).id == name


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.id)
def test_every_limit_has_a_dated_source(record: ModelRecord) -> None:
    for key in limits(record):
        if key == "video.inline":
            continue  # a way of sending, not a limit
        assert key in record.sources, f"{record.id}: {key} has no source"
        assert DATED.search(record.sources[key]), f"{record.id}: {record.sources[key]!r} has no date"


@pytest.mark.parametrize("record", (*MODELS, *ENDPOINTS), ids=lambda record: record.id)
def test_sources_and_doubts_are_whole_sentences(record: ModelRecord | EndpointRecord) -> None:
    for text in (*record.sources.values(), *record.doubts.values()):
        assert "{" not in text
        assert text.strip() == text != ""


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.id)
def test_every_doubt_is_dated_or_speaks_of_a_year(record: ModelRecord) -> None:
    for key, text in record.doubts.items():
        # The FAQ's silence and a discount's end carry their own words; everything else has a year.
        assert DATED.search(text) or "FAQ" in text or "international" in text, f"{record.id}: {key}"


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.id)
def test_a_models_endpoints_exist(record: ModelRecord) -> None:
    known = {endpoint.id for endpoint in ENDPOINTS}
    assert set(record.endpoints) <= known
    assert {name for price in record.prices for name in price.endpoints} <= set(record.endpoints)


@pytest.mark.parametrize("record", ENDPOINTS, ids=lambda record: record.id)
def test_an_endpoints_models_exist(record: EndpointRecord) -> None:
    assert REGISTRY.knows(record.unknown_model)
    assert record.default_model is None or REGISTRY.knows(record.default_model)
    assert DATED.search(record.sources["base_url"])
    assert not record.base_url.endswith("/")
    assert all(text == text.lower() for text in record.error_hints)


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.id)
def test_output_fits_in_context(record: ModelRecord) -> None:
    if record.max_output_tokens is not None:
        assert (record.default_output_tokens or 0) <= record.max_output_tokens
        assert record.context_tokens is None or record.max_output_tokens < record.context_tokens


def test_the_limits_the_platform_states() -> None:
    plus, flash = REGISTRY.model("glm-4v-plus-0111"), REGISTRY.model("glm-4v-flash")
    assert plus.images is not None
    assert plus.images.max_count == 5
    assert plus.images.max_bytes == 5 * 1024**2
    assert plus.images.max_side_px == 6000
    assert plus.images.formats == ("jpeg", "png")
    assert plus.video is not None
    assert plus.video.below_bytes == 200 * 1024**2
    assert plus.video.must_be_first
    assert flash.images is not None
    assert flash.images.max_count == 1
    assert flash.images.transfer == "url_preferred"
    assert "images.transfer" in flash.doubts
    assert flash.video is None
    older = REGISTRY.model("glm-4v-plus").video
    assert older is not None
    assert (older.below_bytes, older.max_seconds) == (20 * 1024**2, 30.0)
    for record in MODELS:
        if "bigmodel" in record.endpoints:
            assert (record.sampling.temperature_max, record.sampling.top_p_max) == (1.0, 1.0)
            assert record.sampling.exclusive
            assert not record.mixed_media


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("glm-4v-plus-0111", ["context_tokens"]),
        ("glm-4v-plus", ["context_tokens", "prices", "max_output_tokens"]),
        ("glm-4v", ["context_tokens"]),
        ("glm-4v-flash", ["context_tokens"]),
        ("autoglm-phone", ["prices"]),
    ],
)
def test_what_nobody_states_stays_open(name: str, fields: list[str]) -> None:
    record = REGISTRY.model(name)
    for field in fields:
        assert not getattr(record, field)


def test_counts_that_nobody_states_stay_open() -> None:
    for name in ("glm-4v", "glm-4.1v-thinking-flash", "glm-4.1v-thinking-flashx"):
        images = REGISTRY.model(name).images
        assert images is not None
        assert images.max_count is None
        assert "images.max_count" in REGISTRY.model(name).doubts


def test_thinking_is_as_documented() -> None:
    modes = {name: REGISTRY.model(name).thinking.mode for name in NAMED}
    assert modes["glm-4v-plus-0111"] == "never"
    assert modes["glm-4.1v-thinking-flash"] == "always"
    assert modes["glm-4.6v"] == "switchable"
    assert modes["glm-5.3-flash"] == "always"
    assert REGISTRY.model("glm-5.3-flashx").thinking.efforts == ("low", "high", "max")


def test_the_published_processors_budget_is_used_for_its_generation_alone() -> None:
    generation = [r.id for r in MODELS if r.tokens.formula == "patch28" and "transformers" in r.tokens.source]
    assert generation == [
        "glm-4.1v-thinking-flash",
        "glm-4.1v-thinking-flashx",
        "glm-4.5v",
        "glm-4.6v",
        "glm-4.6v-flashx",
        "glm-4.6v-flash",
        "z-ai/glm-4.6v",
        "zai-org/GLM-4.6V",
    ]
    for name in generation:
        record = REGISTRY.model(name)
        assert record.images is not None
        assert record.images.useful_pixels == record.tokens.longest_edge_px // 2 == 4_816_896


def test_the_newer_processors_bounds_are_its_own() -> None:
    """16 to 8,000 tokens an image, 30,000 a video."""
    for name in ("glm-5.3-flash", "glm-5.3-flashx"):
        rules = REGISTRY.model(name).tokens
        assert image_tokens(4000, 4000, rules) == 7921
        assert image_tokens(10_000, 7000, rules) is not None
        assert (image_tokens(10_000, 7000, rules) or 0) <= 8000
        assert image_tokens(30, 30, rules) == 16
        clip = video_tokens(18_000, 30.0, 600.0, 1920, 1080, rules)
        assert clip is not None
        assert clip.tokens <= 30_000


def test_the_catalog_says_when_it_was_read() -> None:
    assert REGISTRY.read is not None
    assert REGISTRY.read.isoformat() >= "2026-11-27"
    assert REGISTRY.with_records({"model": [{"id": "mine"}]}, "a test").read == REGISTRY.read


def test_batch_files_are_taken_by_the_models_that_the_platform_names() -> None:
    named = [record.id for record in MODELS if record.batches and record.state != "generic"]
    assert named == ["glm-4v-plus-0111", "glm-4v-plus", "glm-4v", "glm-5v-turbo"]


@pytest.mark.parametrize(
    ("endpoint", "model", "mode"),
    [
        ("openai", "gpt-5.4", "switchable"),
        ("openai", "gpt-5.9", "switchable"),
        ("openai", "gpt-5-mini", "always"),
        ("openai", "gpt-4o-2024-11-20", "never"),
        ("openai", "gpt-something", "unknown"),
        ("dashscope", "qwen3-vl-plus", "switchable"),
        ("dashscope", "qwen3-vl-plus-2025-12-19", "switchable"),
        ("vllm", "Qwen/Qwen3-VL-8B-Thinking-FP8", "always"),
        ("vllm", "Qwen/Qwen3-VL-8B-Instruct", "never"),
        ("vllm", "zai-org/GLM-4.5V-FP8", "switchable"),
        ("sglang", "zai-org/GLM-4.6V", "switchable"),
        ("ollama", "qwen3-vl:8b-thinking", "always"),
        ("ollama", "qwen3-vl:8b", "unknown"),
        ("openrouter", "openai/gpt-5.4", "switchable"),
        ("gemini", "gemini-3.8-flash", "always"),
        # It can be switched, and nobody knows how here.
        ("openai-compatible", "glm-4.6v", "unknown"),
        ("bigmodel", "glm-4.6v", "switchable"),
    ],
)
def test_how_thinking_is_switched_where(endpoint: str, model: str, mode: str) -> None:
    assert REGISTRY.model(model, endpoint).thinking.mode == mode


def test_a_first_call_costs_nothing() -> None:
    for name in ("bigmodel", "embedded"):
        endpoint = REGISTRY.endpoint(name)
        assert endpoint.default_model is not None
        prices = REGISTRY.model(endpoint.default_model, name).prices
        assert prices
        assert all(price.input == price.output == 0 for price in prices)


def test_services_differ_as_documented() -> None:
    bigmodel, zai, embedded = (REGISTRY.endpoint(name) for name in ("bigmodel", "zai", "embedded"))
    assert bigmodel.tasks
    assert bigmodel.batches
    assert not zai.tasks
    assert not zai.batches
    assert zai.headers == {"Accept-Language": "en-US,en"}
    assert bigmodel.base64_form == zai.base64_form == embedded.base64_form == "bare"
    assert bigmodel.key_variables == ("BIGMODEL_API_KEY", "ZHIPUAI_API_KEY")
    assert zai.key_variables[0] == "ZAI_API_KEY"
    assert embedded.local
    assert not embedded.key_required
    assert not REGISTRY.endpoint("ollama").takes_image_urls
    assert REGISTRY.endpoint("openai").base64_form == "data_uri"
    assert any("mmproj" in cure for cure in REGISTRY.endpoint("llamacpp").error_hints.values())
