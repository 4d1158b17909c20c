"""The README keeps its word: every block is run, and what it shows is what comes out.

Python blocks and shell blocks run as they stand; console blocks are typed line by line into one shell, and
what they print is compared. The two commands that set everything up are run by ``.ci/run``.
"""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import environment
from tests.s3_store import new_store, serving_s3
from visionpipe.registry.lookup import Registry
from visionpipe.registry.table import markdown_table, model_rows
from visionpipe.testing.sandbox import running_sandbox

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SET_UP = "python3 -m venv"


WITH_A_READER = {
    "21 items: 9 done, 12 skipped, in # s": "21 items: 8 done, 13 skipped, in # s",
    "skipped, the local analysis cannot name the subject: 2": (
        "skipped, the local analysis cannot name the subject: 3"
    ),
}
"""What the optional text reader, which knows a page of text, changes in what is shown without it."""

CALLS = {
    "ask_about": """
replies = ask_about(vp.Client(), "samples/bigbuckbunny.mp4")
assert [bool(reply.text) for reply in replies] == [True] * 3
""",
    "read_shelf": """
import os
client = vp.Client("gpt-5.4-mini", base_url=os.environ["WITH_SCHEMAS"])
products = read_shelf(client, "samples/coffee.png")
assert products and all(isinstance(product, Product) for product in products)
price_list(client, "samples/")
from pyarrow import parquet
table = parquet.read_table("prices.parquet")
assert {"data_name", "data_price", "data_currency"} <= set(table.column_names)
assert "done" in table["outcome"].to_pylist()
""",
}
"""What calls the functions that a block only defines, by the first of them."""


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind and SET_UP not in text]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: samples at hand, and photos and clips of their own."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "photos").symlink_to(ROOT / "samples")
    (tmp_path / "clips").symlink_to(ROOT / "samples")
    return tmp_path


@pytest.fixture
def shell() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return environment({"PATH": path, "COLUMNS": "200"})


@pytest.fixture
def service() -> Iterator[dict[str, str]]:
    """Environment of somebody with a key."""
    with running_sandbox() as sandbox:
        yield {
            "VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}",
            "VISIONPIPE_API_KEY": sandbox.key,
            "WITH_SCHEMAS": f"openai+{sandbox.openai_url}",
        }


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """Environment of somebody with the bucket that the README names."""
    with serving_s3() as endpoint, new_store(endpoint, "my-bucket") as made:
        options = made.options
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": options["key"],
            "AWS_SECRET_ACCESS_KEY": options["secret"],
        }


@pytest.mark.parametrize("text", blocks("python"))
def test_python_blocks_run(
    text: str, folder: Path, shell: dict[str, str], service: dict[str, str], store: dict[str, str]
) -> None:
    called = CALLS.get(functions[0], "") if (functions := re.findall(r"^def (\w+)", text, re.M)) else ""
    # Who names a model or takes a client has a key; the others have the embedded engine.
    env = shell | service | store if 'vp.Client("' in text or called else shell
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text + called],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in re.findall(r"print\(reply\.text\)  # (.*)", text):
        assert line in done.stdout
    if "vp.Pipeline(" in text and not called:
        assert re.search(r"^\S+ done ", done.stdout, re.M), "a job whose every item failed shows nothing"


def test_no_block_only_defines_functions() -> None:
    """One that nothing calls would be read by Python and not run."""
    for text in blocks("python"):
        last = ast.parse(text).body[-1]
        if isinstance(last, ast.FunctionDef | ast.ClassDef):
            assert re.findall(r"^def (\w+)", text, re.M)[0] in CALLS


@pytest.mark.parametrize("text", blocks("sh"))
def test_shell_blocks_run(text: str, folder: Path, shell: dict[str, str], service: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euc", text],
        cwd=folder,
        env=shell | service,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_console_blocks_print_what_they_show(folder: Path, shell: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # the one that the README names may be taken here
    text = "".join(blocks("console")).replace("8011", str(port))
    typed = "".join(f"echo {_quoted(line)}\n{line[2:]}\n" for line in text.splitlines() if line[:2] == "$ ")
    done = subprocess.run(
        ["bash", "-c", f"{typed}wait"],
        cwd=folder,
        env=shell,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    shown = [_without_timing(line) for line in text.splitlines()]
    lines = [_without_timing(line) for line in done.stdout.splitlines() if not _transient(line)]
    printed = [WITH_A_READER.get(line, line) for line in lines]
    assert printed == shown


def test_the_overlay_can_be_read(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    model = Registry.load([tmp_path / "mine.toml"]).model("acme-vision-2", "acme")
    assert model.images is not None and model.images.max_count == 20


def test_the_table_of_models_is_the_registrys() -> None:
    assert markdown_table(model_rows(Registry.load())) in README


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"


def _transient(line: str) -> bool:
    """Progress lines come or not, as time goes; so do the sandbox's last words."""
    return bool(re.match(r"\d+ of \d+\+?: |stopping: |\d+ requests", line))


def _without_timing(line: str) -> str:
    """Seconds vary, and so do tokens with what the optional text reader finds on a page."""
    line = re.sub(r"in \d+\.\d s$", "in # s", line)
    return re.sub(r"\d[\d.]*", "#", line) if line.startswith("requests:") else line
