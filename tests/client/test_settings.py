"""Where endpoint, key and model come from, and that a key goes to no host but its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from visionpipe.client.settings import Settings, resolve_settings
from visionpipe.errors import ConfigurationError


def resolved(folder: Path, env: dict[str, str] | None = None, **arguments: Any) -> Settings:
    return resolve_settings(environ=env or {}, folder=folder, **arguments)


def test_without_a_key_the_embedded_engine_answers(tmp_path: Path) -> None:
    found = resolved(tmp_path)
    assert found.endpoint.local
    assert found.embedded_by_default
    assert found.api_key is None


@pytest.mark.parametrize(
    ("variable", "host"),
    [
        ("BIGMODEL_API_KEY", "open.bigmodel.cn"),
        ("ZHIPUAI_API_KEY", "open.bigmodel.cn"),
        ("ZAI_API_KEY", "api.z.ai"),
    ],
)
def test_a_key_in_the_environment_chooses_its_host(tmp_path: Path, variable: str, host: str) -> None:
    found = resolved(tmp_path, {variable: "id.secret"})
    assert host in found.endpoint.base_url
    assert found.api_key == "id.secret"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "base_url",
    ["https://gateway.example/v4", "bigmodel+https://gateway.example/v4", "zai", "http://127.0.0.1:9/v1"],
)
def test_a_bigmodel_key_is_sent_nowhere_else(tmp_path: Path, base_url: str) -> None:
    env = {"BIGMODEL_API_KEY": "id.secret"}
    try:
        found = resolved(tmp_path, env, base_url=base_url, model="m")
    except ConfigurationError as error:
        assert error.code == "no_key"
    else:
        assert found.api_key is None


def test_a_gateways_own_key_is_sent_to_it(tmp_path: Path) -> None:
    env = {"BIGMODEL_API_KEY": "id.secret", "VISIONPIPE_API_KEY": "other"}
    found = resolved(tmp_path, env, base_url="bigmodel+https://gateway.example/v4")
    assert (found.api_key, found.endpoint.dialect) == ("other", "glm")


def test_openai_is_never_chosen_by_its_key_alone(tmp_path: Path) -> None:
    assert resolved(tmp_path, {"OPENAI_API_KEY": "sk-x"}).endpoint.local


def test_the_strongest_source_wins(tmp_path: Path) -> None:
    (tmp_path / "visionpipe.toml").write_text('model = "from-file"\nbase_url = "zai"\n')
    env = {"ZAI_API_KEY": "k"}
    assert resolved(tmp_path, env).model.id == "from-file"
    assert resolved(tmp_path, {**env, "VISIONPIPE_MODEL": "from-env"}).model.id == "from-env"
    both = resolved(tmp_path, {**env, "VISIONPIPE_MODEL": "from-env"}, model="from-argument")
    assert both.model.id == "from-argument"
    assert both.endpoint.id == "zai"


def test_settings_may_stand_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.visionpipe]\nlang = "zh"\n[tool.other]\nx = 1\n')
    assert resolved(tmp_path).lang == "zh"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle = 'x'", "unknown setting 'modle'"),
        ("model = ", "cannot be read"),
        ("lang = 'fr'", "'fr'"),
        ("model = 5", "visionpipe.toml: model is 5, not a text"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "visionpipe.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        resolved(tmp_path)


def test_a_model_without_a_key_is_not_answered_by_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"glm-4\.6v: no API key for it\. Set BIGMODEL_API_KEY"):
        resolved(tmp_path, model="glm-4.6v")


def test_an_endpoint_without_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Set ZAI_API_KEY"):
        resolved(tmp_path, base_url="zai")


def test_a_server_without_a_default_model_wants_one_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model named"):
        resolved(tmp_path, base_url="http://127.0.0.1:8000/v1")


def test_a_tuned_model_has_its_bases_limits(tmp_path: Path) -> None:
    catalog = tmp_path / "mine.toml"
    catalog.write_text('[[model]]\nid = "my-tuned"\nbase = "glm-4v-plus-0111"\n')
    found = resolved(tmp_path, {"BIGMODEL_API_KEY": "k"}, model="my-tuned", catalog=str(catalog))
    assert found.model.images is not None
    assert found.model.images.max_count == 5


def test_a_known_model_is_asked_where_it_is_offered_and_there_is_a_key(tmp_path: Path) -> None:
    env = {"BIGMODEL_API_KEY": "id.secret", "OPENAI_API_KEY": "sk-1", "DASHSCOPE_API_KEY": "sk-2"}
    for model, endpoint in (("gpt-5.4", "openai"), ("qwen3-vl-plus", "dashscope"), ("glm-4.6v", "bigmodel")):
        assert resolve_settings(model=model, environ=env, folder=tmp_path).endpoint.id == endpoint
    with pytest.raises(ConfigurationError, match="Set DASHSCOPE_API_KEY"):
        resolve_settings(model="qwen3-vl-plus", environ={}, folder=tmp_path)
