"""The README and the documentation keep their word: every block is run, and what it shows is what comes out.

Python blocks and shell blocks run as they stand, a document's shell blocks one after the other; console
blocks are typed line by line into one shell, and what they print is compared. The two commands that set
everything up are run by ``.ci/run``, and generated pages are compared with what generates them.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import pytest

from scripts.pages import every_page
from tests.cli.commands import environment
from tests.s3_store import new_store, serving_s3
from visionpipe.registry.lookup import Registry
from visionpipe.testing.sandbox import running_sandbox

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GENERATED = every_page()
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *(path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).as_posix() not in GENERATED),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = "python3 -m venv"


WITH_A_READER = {
    "23 items: 9 done, 14 skipped, in # s": "23 items: 8 done, 15 skipped, in # s",
    "skipped, the local analysis cannot name the subject: 2": (
        "skipped, the local analysis cannot name the subject: 3"
    ),
}
"""What the optional text reader, which knows a page of text, changes in what is shown without it."""

CALLS = {
    "all_of": """
assert all(all_of(["samples/coffee.png", "samples/chelsea.png"]))
""",
    "described": """
client = vp.Client("glm-4.6v")
assert described(client, open("samples/coffee.png", "rb").read())[0] == 200
assert described(client, b"no image")[0] == 422
""",
    "test_an_empty_account_is_told": """
from visionpipe.testing.sandbox import running_sandbox
with running_sandbox() as handle:
    test_an_empty_account_is_told(handle)
""",
    "test_a_cup_is_described": """
test_a_cup_is_described(ScriptedClient)
""",
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


def blocks(path: Path, kind: str) -> list[str]:
    found = BLOCK.findall(path.read_text("utf-8"))
    return [text for language, text in found if language == kind and SET_UP not in text]


def every(kind: str) -> list[tuple[Path, str]]:
    return [(path, text) for path in DOCUMENTS for text in blocks(path, kind)]


def name_of(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else ""


def on_a_free_port(text: str) -> str:
    """The ports that a text names may be taken here."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return re.sub(r"\b801[12]\b", str(free.getsockname()[1]), text)


def functions(text: str) -> list[str]:
    return re.findall(r"^(?:async )?def (\w+)", text, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: samples at hand, and photos and clips of their own."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    shutil.copytree(ROOT / "samples", tmp_path / "photos")  # sidecars go beside them
    (tmp_path / "clips").symlink_to(ROOT / "samples")
    (tmp_path / "list.csv").write_text("photo,product\nsamples/coffee.png,cup\n", "utf-8")
    (tmp_path / "acme.toml").write_text("".join(blocks(DOCS / "how-to" / "provider.md", "toml")), "utf-8")
    return tmp_path


@pytest.fixture
def shell() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return environment({"PATH": path, "COLUMNS": "200"})


@pytest.fixture
def service() -> Iterator[dict[str, str]]:
    """Environment of somebody with a key."""
    with running_sandbox(answers="engine") as sandbox:
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


@pytest.mark.parametrize(("path", "text"), every("python"), ids=name_of)
def test_python_blocks_run(
    path: Path, text: str, folder: Path, shell: dict[str, str], service: dict[str, str], store: dict[str, str]
) -> None:
    called = next((CALLS[name] for name in functions(text) if name in CALLS), "")
    # Who names a model or takes a client has a key; the others have the embedded engine.
    env = shell | service | store if '"glm-' in text or called else shell
    (folder / "block.py").write_text(
        f"{text}\nif __name__ == '__main__':\n{indent(called or 'pass', '    ')}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "block.py"],
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
    if "print(result.source, result.outcome" in text:
        assert re.search(r"^\S+ done ", done.stdout, re.M), "a job whose every item failed shows nothing"


def test_no_block_only_defines_functions() -> None:
    """One that nothing calls would be read by Python and not run."""
    for _, text in every("python"):
        if isinstance(ast.parse(text).body[-1], ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert set(functions(text)) & set(CALLS)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "sh")], ids=name_of)
def test_shell_blocks_run(path: Path, folder: Path, shell: dict[str, str], service: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euc", on_a_free_port("\n".join(blocks(path, "sh")))],
        cwd=folder,
        env=shell | service,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path, "console")], ids=name_of)
def test_console_blocks_print_what_they_show(path: Path, folder: Path, shell: dict[str, str]) -> None:
    text = on_a_free_port("".join(blocks(path, "console")))
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


def test_the_overlay_can_be_read(folder: Path) -> None:
    model = Registry.load([folder / "acme.toml"]).model("acme-vision-2", "acme")
    assert model.images is not None and model.images.max_count == 20


def test_generated_pages_are_fresh() -> None:
    stale = [name for name, text in GENERATED.items() if (DOCS / name).read_text("utf-8") != text]
    assert stale == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_and_named_tests_lead_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    links = [path.parent / link for link in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = [ROOT / name for name in re.findall(r"`((?:tests|samples|visionpipe)/[\w/.-]+)`", text)]
    assert [str(place) for place in (*links, *named) if not place.exists()] == []


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"


def _transient(line: str) -> bool:
    """Progress lines come or not, as time goes; so do the sandbox's last words."""
    return bool(re.match(r"\d+ of \d+\+?: |stopping: |\d+ requests", line))


def _without_timing(line: str) -> str:
    """Seconds vary, and so do tokens with what the optional text reader finds on a page."""
    line = re.sub(r"in \d+\.\d s$", "in # s", line)
    return re.sub(r"\d[\d.]*", "#", line) if line.startswith("requests:") else line
