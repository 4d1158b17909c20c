"""What a type checker knows of extracted data without being told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SNIPPET = """
from dataclasses import dataclass
from typing import Any, assert_type

import visionpipe as vp
from pydantic import BaseModel


class Product(BaseModel):
    name: str


@dataclass
class Price:
    amount: float


with vp.Client() as client:
    found = client.extract(Product, "a.jpg", prompt="What is sold?", max_tokens=100)
    assert_type(found.value, Product)
    assert_type(client.extract(Price, "a.jpg").value, Price)
    assert_type(client.extract(list[Product], "a.jpg").value, list[Product])
    assert_type(client.extract(Product | Price, "a.jpg").value, Any)
    assert_type(client.extract({"type": "object"}, "a.jpg").value, Any)
    with client.extract_stream(Product, "a.jpg") as stream:
        assert_type(stream.value, Product)


async def awaited() -> None:
    async with vp.AsyncClient() as client:
        found = await client.extract(Product, "a.jpg")
        assert_type(found.value, Product)
        assert_type((await client.extract({}, "a.jpg")).value, Any)
        async with await client.extract_stream(list[Product], "a.jpg") as stream:
            assert_type(stream.value, list[Product])


assert_type(vp.Client().extract(Product, "a.jpg").value.name, str)
reveal_type(vp.Client().extract(Product, "a.jpg").value)
"""


def test_the_value_is_of_the_type_asked_for(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11"]
    done = subprocess.run(
        [*command, "--config-file", "", "--cache-dir", str(tmp_path / "cache"), "snippet.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Revealed type is "snippet.Product"' in done.stdout
