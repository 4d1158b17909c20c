"""A user's file adds and changes records; whatever is wrong with it is said with place and cure."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import ConfigurationError
from visionpipe.registry.lookup import Registry
from visionpipe.registry.overlay import merge

BUILT_IN = Registry.load()


def overlaid(tmp_path: Path, *texts: str) -> Registry:
    paths = []
    for number, text in enumerate(texts):
        path = tmp_path / f"overlay{number}.toml"
        path.write_text(text, "utf-8")
        paths.append(path)
    return Registry.load(paths)


def test_only_the_given_fields_change(tmp_path: Path) -> None:
    registry = overlaid(tmp_path, '[[model]]\nid = "GLM-4v-plus-0111"\n[model.images]\nmax_count = 9\n')
    before, after = BUILT_IN.model("glm-4v-plus-0111"), registry.model("glm-4v-plus-0111")
    assert before.images is not None
    assert after.images == before.images.model_copy(update={"max_count": 9})
    assert after.model_copy(update={"images": before.images, "sources": before.sources}) == before
    assert before.images.max_count == 5


def test_a_changed_figure_names_the_overlay_as_its_source(tmp_path: Path) -> None:
    text = '[[model]]\nid = "glm-4v"\ncontext_tokens = 4096\n[model.images]\nmax_count = 2\n'
    text += '[model.sources]\ncontext_tokens = "our account manager, 2026-10"\n'
    sources = overlaid(tmp_path, text).model("glm-4v").sources
    assert sources["images.max_count"].endswith("overlay0.toml")
    assert sources["context_tokens"] == "our account manager, 2026-10"
    assert "images.max_bytes" in sources


def test_a_fine_tuned_model_inherits_what_it_does_not_say(tmp_path: Path) -> None:
    registry = overlaid(
        tmp_path, '[[model]]\nid = "my-captions"\nbase = "glm-4v-plus-0111"\nmax_output_tokens = 512\n'
    )
    tuned, base = registry.model("my-captions"), registry.model("glm-4v-plus-0111")
    assert (tuned.id, tuned.base, tuned.max_output_tokens) == ("my-captions", "glm-4v-plus-0111", 512)
    for field in ("images", "video", "sampling", "thinking", "tools", "prices", "state", "endpoints"):
        assert getattr(tuned, field) == getattr(base, field)
    assert registry.knows("my-captions")
    assert not BUILT_IN.knows("my-captions")


def test_inheritance_follows_a_chain_and_later_overlays(tmp_path: Path) -> None:
    registry = overlaid(
        tmp_path,
        '[[model]]\nid = "second"\nbase = "first"\n[[model]]\nid = "first"\nbase = "glm-4v-flash"\n',
        '[[model]]\nid = "glm-4v-flash"\n[model.images]\nmax_count = 3\n',
    )
    images = registry.model("second").images
    assert images is not None
    assert (images.max_count, images.transfer) == (3, "url_preferred")


def test_a_tuned_models_id_can_be_registered_without_a_file() -> None:
    registry = BUILT_IN.with_records(
        {"model": [{"id": "ft-1", "base": "glm-4v-flash"}]}, "the fine-tuning job"
    )
    assert registry.model("ft-1").base == "glm-4v-flash"
    assert not Registry.load().knows("ft-1")


def test_false_lifts_a_limit_and_takes_a_kind_of_media_away(tmp_path: Path) -> None:
    text = '[[model]]\nid = "glm-4.6v"\nvideo = false\ncontext_tokens = false\n'
    text += "[model.images]\nmax_count = false\n"
    record = overlaid(tmp_path, text).model("glm-4.6v")
    assert record.video is None
    assert record.context_tokens is None
    assert record.images is not None
    assert record.images.max_count is None


def test_a_new_endpoint_with_its_own_models(tmp_path: Path) -> None:
    registry = overlaid(
        tmp_path,
        """
[[endpoint]]
id = "gateway"
title = "our gateway"
base_url = "https://llm.example.org/v1"
hosts = ["llm.example.org"]
key_variables = ["GATEWAY_KEY"]
unknown_model = "unknown-compatible"

[[model]]
id = "house-vl"
like = "openai-style"
endpoints = ["gateway"]
state = "current"
images = { max_count = 4 }

[[model.prices]]
input = 0.5
output = 1.5
currency = "EUR"
""",
    )
    assert registry.endpoint("https://llm.example.org/v2").key_variables == ("GATEWAY_KEY",)
    record = registry.model("house-vl", "gateway")
    assert record.images is not None
    assert (record.images.max_count, record.images.formats) == (4, ("jpeg", "png"))
    assert str(record.prices[0].input) == "0.5"
    assert "house-vl" in {r.id for r in registry.models_taking(images=4)}
    assert registry.suggest("hause-vl") == ("house-vl",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[model]\n", "not valid TOML"),
        ("[[models]]\nid = 'x'\n", "Did you mean 'model'?"),
        ("[model]\nid = 'x'\n", "Begin each record with [[model]]"),
        ("model = [1]\n", "Begin each record with [[model]]"),
        ("source = 1\n", "[source] does not hold texts"),
        ("[[model]]\nbase = 'glm-4v'\n", "[[model]] number 1 has no id"),
        ("[[model]]\nid = 'x'\n[[model]]\nid = 'X'\n", "stands there twice"),
        ("[[model]]\nid = 'x'\nbase = 'glm-4w'\n", "Did you mean 'glm-4v'?"),
        ("[[model]]\nid = 'x'\nbase = 3\n", "not a model's id"),
        ("[[model]]\nid = 'x'\nbase = 'y'\n[[model]]\nid = 'y'\nbase = 'x'\n", "leads back to itself"),
        ("[[model]]\nid = 'x'\nbase = 'x'\n", "leads back to itself"),
        ("[[model]]\nid = 'x'\nlike = 'glmm'\n", "Did you mean 'glm'?"),
        (
            "[template.a]\nlike = 'b'\n[template.b]\nlike = 'a'\n[[model]]\nid = 'x'\nlike = 'a'\n",
            "like itself",
        ),
        ("[[model]]\nid = 'x'\ncontext = 5\n", "[[model]] x: context is not a field"),
        ("[[model]]\nid = 'x'\nimages = { max_cuont = 5 }\n", "Did you mean 'max_count'?"),
        (
            "[[model]]\nid = 'x'\nprices = [{ in = 5, output = 1 }]\n",
            "[[model]] x: prices.0.input is missing",
        ),
        ("[[model]]\nid = 'x'\nprices = [{ input = 5, output = 1, outptu = 2 }]\n", "Did you mean 'output'?"),
        ("[[model]]\nid = 'x'\nprices = [5]\n", "prices.0 = 5 does not fit"),
        ("[[model]]\nid = 'x'\ncontext_tokens = -1\n", "greater than 0"),
        ("[[model]]\nid = 'x'\nimages = { max_count = 'many' }\n", "images.max_count = 'many' does not fit"),
        ("[[model]]\nid = 'x'\nstate = 'new'\n", "'current', 'legacy'"),
        ("[[model]]\nid = 'x'\nendpoints = ['bigmodle']\n", "Did you mean 'bigmodel'?"),
        ("[[model]]\nid = 'x'\naliases = ['glm-4v']\n", "already belongs to glm-4v"),
        ("[[model]]\nid = 'x'\n[model.sources]\nimages = '{faqq}'\n", "Did you mean 'faq'?"),
        ("[[endpoint]]\nid = 'x'\n", "title is missing"),
        (
            "[[endpoint]]\nid = 'x'\ntitle = 'x'\nbase_url = 'https://x'\nunknown_model = 'y'\n",
            "unknown_model 'y' is not known",
        ),
    ],
)
def test_a_mistake_is_named_with_file_place_and_cure(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        overlaid(tmp_path, text)
    error = caught.value
    assert says in str(error)
    assert error.subject == str(tmp_path / "overlay0.toml")
    assert error.scope == "job"
    assert error.cure


def test_the_wrong_one_of_two_overlays_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        overlaid(tmp_path, '[[model]]\nid = "fine"\nbase = "glm-4v"\n', '[[model]]\nid = "x"\nno = 1\n')
    assert str(caught.value.subject).endswith("overlay1.toml")


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Registry.load([tmp_path / "missing.toml"])
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        Registry.load([tmp_path / "binary.toml"])


names = st.sampled_from(["a", "b", "c", "d"])
tables = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
table = st.dictionaries(names, tables, max_size=4)


@given(table, table)
def test_merging_keeps_what_is_not_given_and_changes_neither_side(
    under: dict[str, Any], over: dict[str, Any]
) -> None:
    kept_under, kept_over = copy.deepcopy(under), copy.deepcopy(over)
    merged = merge(under, over)
    assert (under, over) == (kept_under, kept_over)
    assert set(merged) == set(under) | set(over)
    for key in merged:
        if key not in over:
            assert merged[key] == under[key]
        elif isinstance(over[key], dict) and isinstance(under.get(key), dict):
            assert merged[key] == merge(under[key], over[key])
        else:
            assert merged[key] == over[key]


@given(table)
def test_merging_nothing_or_the_same_again_changes_nothing(given: dict[str, Any]) -> None:
    assert merge(given, {}) == merge({}, given) == merge(given, given) == given


limits = st.fixed_dictionaries(
    {},
    optional={
        "context_tokens": st.integers(1, 10**7),
        "max_output_tokens": st.integers(1, 10**6),
        "concurrency": st.integers(1, 100),
    },
)


@given(st.sampled_from([record.id for record in BUILT_IN.models()]), limits)
def test_any_limits_can_be_laid_over_any_model(model_id: str, given: dict[str, int]) -> None:
    before = BUILT_IN.model(model_id)
    after = BUILT_IN.with_records({"model": [{"id": model_id, **given}]}, "a property test").model(model_id)
    assert after == before.model_copy(
        update={**given, "sources": {**before.sources, **dict.fromkeys(given, "a property test")}}
    )


PROVIDER = """
[[endpoint]]
id = "acme"
title = "Acme AI"
base_url = "https://api.acme.example/v1"
hosts = ["api.acme.example"]
key_variables = ["ACME_API_KEY"]
unknown_model = "unknown-compatible"
thinking = { on = { enable_thinking = true }, off = { enable_thinking = false } }

[[model]]
id = "acme-vision-2"
endpoints = ["acme"]
context_tokens = 131_072
max_output_tokens = 8192
thinking = { mode = "switchable" }
images = { max_count = 20, formats = ["jpeg", "png"] }
prices = [{ input = 0.5, output = 2, cached = 0.1, currency = "USD" }]
"""


def test_a_new_provider_is_an_overlay(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text(PROVIDER)
    registry = Registry.load([overlay])
    endpoint = registry.endpoint("https://api.acme.example/v1")
    assert (endpoint.id, endpoint.key_variables) == ("acme", ("ACME_API_KEY",))
    model = registry.model("Acme-Vision-2", "acme")
    assert model.thinking.mode == "switchable"
    assert model.prices[0].cached is not None
    assert model.sources["prices"] == str(overlay)
    assert registry.model("acme-vision-9", "acme").state == "unknown"


def test_a_catalogs_date_is_a_date(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text('read = "today"\n')
    with pytest.raises(ConfigurationError, match="is no date"):
        Registry.load([overlay])
