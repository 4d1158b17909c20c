"""Finding models and endpoints by the names people give them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from visionpipe.errors import ConfigurationError
from visionpipe.registry.lookup import Registry

REGISTRY = Registry.load()


def test_the_catalog_is_read_once() -> None:
    assert Registry.load() is Registry.load()


@pytest.mark.parametrize("given", ["glm-4.6v-flash", "GLM-4.6V-Flash", "  glm-4.6v-flash "])
def test_a_model_is_found_in_any_spelling(given: str) -> None:
    assert REGISTRY.model(given).id == "glm-4.6v-flash"
    assert REGISTRY.knows(given)


def test_an_alias_leads_to_the_record() -> None:
    assert REGISTRY.model("local").id == "visionpipe-local"
    assert REGISTRY.endpoint("ZhipuAI").id == "bigmodel"


def test_an_unknown_model_gets_its_endpoints_soft_limits() -> None:
    record = REGISTRY.model("glm-9v-ultra", "bigmodel")
    assert (record.id, record.state) == ("glm-9v-ultra", "unknown")
    assert record.images is not None
    assert record.images.max_count is None
    assert record.images.max_bytes == 5 * 1024**2
    elsewhere = REGISTRY.model("qwen3-vl:8b", "ollama")
    assert elsewhere.images is not None
    assert elsewhere.images.max_bytes is None
    assert elsewhere.sampling.temperature_max == 2.0
    assert REGISTRY.model("glm-9v-ultra").state == "unknown"
    assert not REGISTRY.knows("glm-9v-ultra")


def test_a_known_model_keeps_its_record_at_another_endpoint() -> None:
    record = REGISTRY.model("glm-4v-flash", "openai-compatible")
    assert record.images is not None
    assert record.images.max_count == 1
    assert record.prices == ()


def test_prices_are_those_of_the_endpoint() -> None:
    assert len(REGISTRY.model("glm-4.6v", "bigmodel").prices) == 2
    assert [price.currency for price in REGISTRY.model("glm-4.6v", "zai").prices] == ["USD"]
    assert len(REGISTRY.model("glm-4.6v").prices) == 3


@pytest.mark.parametrize(
    ("given", "record", "base_url"),
    [
        ("bigmodel", "bigmodel", "https://open.bigmodel.cn/api/paas/v4"),
        (
            "https://open.bigmodel.cn/api/paas/v4/",
            "bigmodel",
            "https://open.bigmodel.cn/api/paas/v4",
        ),
        (
            "https://open.bigmodel.cn/api/coding/paas/v4",
            "bigmodel-coding",
            "https://open.bigmodel.cn/api/coding/paas/v4",
        ),
        ("https://OPEN.bigmodel.cn/api/v9", "bigmodel", "https://OPEN.bigmodel.cn/api/v9"),
        ("https://api.z.ai/api/coding/paas/v4", "zai-coding", "https://api.z.ai/api/coding/paas/v4"),
        ("http://localhost:11434/v1", "ollama", "http://localhost:11434/v1"),
        ("http://127.0.0.1:9999/v1", "openai-compatible", "http://127.0.0.1:9999/v1"),
        ("https://open.bigmodel.cn.evil.example/v4", "openai-compatible", None),
        ("vllm+http://gpu-box:9000/v1/", "vllm", "http://gpu-box:9000/v1"),
        ("bigmodel+http://127.0.0.1:8001/api/paas/v4", "bigmodel", "http://127.0.0.1:8001/api/paas/v4"),
    ],
)
def test_an_endpoint_is_found_by_name_or_url(given: str, record: str, base_url: str | None) -> None:
    found = REGISTRY.endpoint(given)
    assert found.id == record
    assert found.base_url == (base_url or given)


def test_a_foreign_host_is_offered_no_services_key() -> None:
    found = REGISTRY.endpoint("https://open.bigmodel.cn.evil.example/v4")
    assert found.key_variables == ("VISIONPIPE_API_KEY",)


def test_a_key_does_not_travel_in_the_open() -> None:
    with pytest.raises(ConfigurationError, match="in the open"):
        REGISTRY.endpoint("http://open.bigmodel.cn/api/paas/v4")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("bigmodle", "Did you mean 'bigmodel'"),
        ("localhost:8080/v1", "by its base URL"),
        ("ftp://host/v1", "https://host/path"),
        ("https://", "https://host/path"),
        ("https://host:port/v1", "https://host/path"),
        ("https://me:secret@host/v1", "no user"),
        ("https://host/v1?key=secret", "no user"),
        ("https://host/v1/chat/completions", "Leave out /chat/completions"),
        ("vllm+host", "https://host/path"),
        ("vllm+ftp://host", "https://host/path"),
    ],
)
def test_a_wrong_endpoint_says_what_to_give(given: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        REGISTRY.endpoint(given)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_unknown_endpoint_for_a_model_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        REGISTRY.model("glm-4.6v", "nowhere")


@pytest.mark.parametrize(
    ("text", "kind", "first"),
    [
        ("glm4v-plus-0111", "model", "glm-4v-plus-0111"),
        ("GLM-4.6-V", "model", "glm-4.6v"),
        ("z-ia", "endpoint", "zai"),
        ("olama", "endpoint", "ollama"),
    ],
)
def test_near_misses_are_suggested(text: str, kind: str, first: str) -> None:
    found = REGISTRY.suggest(text, "model" if kind == "model" else "endpoint")
    assert found[0] == first
    assert len(found) == len(set(found)) <= 3


def test_nothing_near_suggests_nothing_and_no_stand_in_is_offered() -> None:
    assert REGISTRY.suggest("llava") == ()
    assert "unknown-glm" not in REGISTRY.suggest("unknown-glm")


def test_models_that_take_more_are_offered_current_ones_first() -> None:
    five = REGISTRY.models_taking(images=5)
    assert [record.state for record in five] == sorted(record.state for record in five)
    assert {"glm-4.6v", "glm-4v-plus-0111"} <= {record.id for record in five}
    six = {record.id for record in REGISTRY.models_taking(images=6)}
    assert "glm-4v-plus-0111" not in six
    assert "glm-4.6v" in six
    assert REGISTRY.models_taking(images=51, endpoints=["bigmodel"]) == ()
    assert "gpt-5.4" in {record.id for record in REGISTRY.models_taking(images=51)}


def test_the_package_starts_without_the_catalog() -> None:
    code = "import sys, visionpipe.registry, visionpipe.registry.estimates; "
    code += "sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "endpoint", "dialect"),
    [
        ("https://gateway.example/api/paas/v4", "bigmodel", "glm"),
        ("http://10.0.0.7:9000/api/paas/v4/", "bigmodel", "glm"),
        ("https://gateway.example/tenant/api/coding/paas/v4", "bigmodel-coding", "glm"),
        ("https://gateway.example/v4", "openai-compatible", "openai"),
        ("openai-compatible+https://gateway.example/api/paas/v4", "openai-compatible", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure", "openai"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "dashscope", "openai"),
        ("https://openai.azure.com.evil.example/openai/v1", "openai-compatible", "openai"),
    ],
)
def test_a_base_url_says_what_is_spoken(url: str, endpoint: str, dialect: str) -> None:
    record = Registry.load().endpoint(url)
    assert (record.id, record.dialect) == (endpoint, dialect)
    assert record.base_url == url.rpartition("+")[2].rstrip("/")


def test_azure_has_a_url_for_each_customer_and_may_bring_a_version() -> None:
    registry = Registry.load()
    with pytest.raises(ConfigurationError, match=r"azure\+https://YOUR-RESOURCE-NAME"):
        registry.endpoint("azure")
    url = "https://mine.openai.azure.com/openai/deployments/eyes?api-version=2024-10-21"
    for given in (url, f"azure+{url}"):
        record = registry.endpoint(given)
        assert record.base_url == "https://mine.openai.azure.com/openai/deployments/eyes"
        assert record.query == {"api-version": "2024-10-21"}
        assert record.key_header == "api-key"
    for bad in (f"{url}&key=1", "https://gateway.example/v1?api-version=1"):
        with pytest.raises(ConfigurationError, match="holds no user"):
            registry.endpoint(bad)
