"""The one line on stderr that says who answers."""

from __future__ import annotations

import subprocess
import sys

TWICE = """
from pathlib import Path
from visionpipe.client.announce import announce_local
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
