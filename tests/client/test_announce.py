"""The one line on stderr that says who answers."""

from __future__ import annotations

import subprocess
import sys

TWICE = """
from pathlib import Path
from visionpipe.client.settings import announce_local
from visionpipe.client.settings import resolve_settings

keyed = resolve_settings(environ={"BIGMODEL_API_KEY": "id.secret"}, folder=Path("/nowhere"))
chosen = resolve_settings(base_url="embedded", environ={}, folder=Path("/nowhere"))
fallen = resolve_settings(environ={}, folder=Path("/nowhere"))
said = []
for settings in (keyed, chosen):
    announce_local(settings, said.append)
assert said == []
announce_local(fallen)
announce_local(fallen, said.append)
assert said == []
"""


def test_the_embedded_engine_is_announced_once_and_only_where_it_was_not_chosen() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", TWICE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stderr.splitlines()
    assert "no API key found" in line
    assert "local analysis" in line
    assert "BIGMODEL_API_KEY" in line


BY_PATH = """
from pathlib import Path
from visionpipe.client.settings import announce_local
from visionpipe.client.settings import resolve_settings

env = {"BIGMODEL_API_KEY": "id.secret", "VISIONPIPE_API_KEY": "sk-gateway"}
url = "https://gateway.example/api/paas/v4"
said = []
own = "https://open.bigmodel.cn/api/paas/v4"
for base_url in ("bigmodel+" + url, "openai-compatible+" + url, own, "zai"):
    keyed = resolve_settings(
        base_url=base_url, api_key="k", environ={}, folder=Path("/nowhere"), model="m"
    )
    announce_local(keyed, said.append)
assert said == [], said
settings = resolve_settings(base_url=url, environ=env, folder=Path("/nowhere"))
assert settings.endpoint.dialect == "glm"
assert settings.api_key == "sk-gateway"  # never BigModel's
announce_local(settings)
announce_local(settings)
"""


def test_a_dialect_taken_from_a_path_is_said_once_and_takes_no_key_along() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BY_PATH],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stderr.splitlines()
    assert "https://gateway.example/api/paas/v4 ends as BigModel" in line
    assert "openai-compatible+https://gateway.example/api/paas/v4" in line
