"""Names as people and programs have them: every item's outputs stand under its own name, or one output of it
fails, and nothing else is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pyarrow.parquet as pq
import pytest

from tests.cli.commands import here, lines
from tests.client.faces import KEY, chat
from tests.loopback import Loopback
from visionpipe.testing.images import jpeg_bytes

ODD = [
    *(
        "caf\u00e9",
        "cafe\u0301",
        "\u732b",
        "\U0001f408\u200d\u2b1b",
        "\u05d0\u05d1",
        "\u202egnp",
        "zero\u200bwidth",
    ),
    *(
        "-rf",
        "--help",
        "-",
        "~",
        "#x",
        "%41",
        "a b",
        " lead",
        "trail ",
        "two  spaces",
        "dot.",
        "a.b.c",
    ),
    *("new\nline", "tab\tname", "bell\x07", "cr\rname", "quote'", 'double"', "back\\slash", "a\\x.b"),
    *(
        "semi;colon",
        "pipe|",
        "star*",
        "what?",
        "[x]",
        "{stem}",
        "$HOME",
        "`id`",
        "&amp;",
        "<b>",
        "=1+1",
        "@me",
    ),
    *("CON", "a" * 230, "b" * 247, "c" * 251),
]
BYTES = [b"latin\xe9", b"\xff\xfe", b"sub\xe9/in\xe9"]
TOO_LONG = "c" * 251
"""With ``.jpg`` it is as long as a name may be, and no sidecar's name is longer."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other file systems take no such names")


def make(folder: Path) -> list[bytes]:
    """The photos, each of its own bytes; returns their names below the folder."""
    names = [*(name.encode() for name in ODD), *BYTES]
    for number, name in enumerate(names):
        path = Path(os.fsdecode(os.path.join(os.fsencode(folder), name + b".jpg")))  # noqa: PTH118  bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg_bytes(40 + number, 30))
    return names


def test_every_output_stands_under_its_own_name(
    tmp_path: Path, loopback: Loopback, capfd: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "in"
    names = make(photos)
    loopback.script(answer=lambda _: chat("A caption."))
    outputs = (
        "txt:",
        "txt:texts",
        "out.jsonl",
        "out.csv",
        "out.parquet",
        "out.sqlite",
        "out.html",
        "out.tar",
    )
    metadata = ("kohya:meta.json", "imagefolder:in/metadata.jsonl")
    command = ["caption", "in", *(word for spec in (*outputs, *metadata) for word in ("-o", spec))]
    address = ["--base-url", f"bigmodel+{loopback.url}", "--model", "glm-4v-plus-0111"]
    run = here(capfd)
    for _ in range(2):
        done = run(*command, *address, folder=tmp_path, env={"VISIONPIPE_API_KEY": KEY})
        assert done.returncode == 0, done.stderr
    assert len(loopback.requests) == len(names)
    assert f"{len(names)} items: {len(names)} done" in done.stderr

    expected = {name + b".txt" for name in names}
    for home in (photos, tmp_path / "texts"):
        found = {os.fsencode(path.relative_to(home)) for path in home.rglob("*") if path.suffix == ".txt"}
        assert found == expected
    assert not list(tmp_path.rglob("*.part"))

    rows = lines(tmp_path / "out.jsonl")
    shown = {os.fsencode(os.fsdecode(name)).decode("utf-8", "backslashreplace") + ".jpg" for name in names}
    assert set(rows) == shown
    assert set(pq.read_table(tmp_path / "out.parquet")["path"].to_pylist()) == shown
    with closing(sqlite3.connect(tmp_path / "out.sqlite")) as database:
        assert {path for (path,) in database.execute("SELECT path FROM results")} == shown
    with tarfile.open(tmp_path / "out-000000.tar") as archive:
        assert sum(member.name.endswith(".jpg") for member in archive) == len(names)
    files = {os.fsencode(str(photos)) + b"/" + name + b".jpg" for name in names}
    assert {os.fsencode(key) for key in json.loads((tmp_path / "meta.json").read_bytes())} == files
    with (photos / "metadata.jsonl").open("rb") as text:
        below = {os.fsencode(json.loads(line)["file_name"]) for line in text}
    assert below == {name + b".jpg" for name in names}
    page = (tmp_path / "out.html").read_text("utf-8")
    items = page.partition('id="items">')[2].partition("</script>")[0].splitlines()
    links = {unquote_to_bytes(json.loads(item)["link"]) for item in items if item}
    assert links == {b"in/" + name + b".jpg" for name in names}


@pytest.mark.parametrize("kind", ["json", "xmp"])
def test_other_sidecars_stand_under_their_own_names(
    tmp_path: Path, loopback: Loopback, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    photos = tmp_path / "in"
    names = make(photos)
    loopback.script(answer=lambda _: chat("A caption."))
    address = ["--base-url", f"bigmodel+{loopback.url}", "--model", "glm-4v-plus-0111"]
    command = ["caption", "in", "-o", f"{kind}:", "-o", f"{kind}:other", *address]
    run = here(capfd)
    for _ in range(2):
        done = run(*command, folder=tmp_path, env={"VISIONPIPE_API_KEY": KEY})
    assert len(loopback.requests) == len(names)
    # With ``.json`` the longest name is a letter too long, which fails that output of that item.
    lost = {TOO_LONG.encode() + b".json"} if kind == "json" else set[bytes]()
    assert done.stderr.count("not written:") == 2 * len(lost)
    assert done.returncode == bool(lost), done.stderr
    expected = {name + f".{kind}".encode() for name in names} - lost
    for home in (photos, tmp_path / "other"):
        found = {os.fsencode(path.relative_to(home)) for path in home.rglob("*") if path.suffix == f".{kind}"}
        assert found == expected
    if kind == "json":
        for name in names:
            file = Path(os.fsdecode(os.path.join(os.fsencode(photos), name + b".json")))  # noqa: PTH118  bytes
            shown = os.fsencode(os.fsdecode(name)).decode("utf-8", "backslashreplace") + ".jpg"
            assert name == TOO_LONG.encode() or json.loads(file.read_bytes())["path"] == shown


def test_a_name_that_cannot_be_written_fails_that_output_of_that_item(
    tmp_path: Path, loopback: Loopback, capfd: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "in"
    photos.mkdir()
    for number, name in enumerate((TOO_LONG, "short")):
        (photos / f"{name}.jpg").write_bytes(jpeg_bytes(40 + number, 30))
    loopback.script(answer=lambda _: chat("A caption."))
    address = ["--base-url", f"bigmodel+{loopback.url}", "--model", "glm-4v-plus-0111"]
    done = here(capfd)(
        "caption", "in", "-o", "json:", "-o", "out.jsonl", "--naming", "{name}.json", *address,
        folder=tmp_path, env={"VISIONPIPE_API_KEY": KEY},
    )  # fmt: skip
    assert done.returncode == 1
    assert "2 items: 2 done" in done.stderr
    assert done.stderr.count("not written:") == 1
    assert "takes no such name" in done.stderr
    assert "--naming" in done.stderr
    assert len(lines(tmp_path / "out.jsonl")) == 2
    assert (photos / "short.jpg.json").exists()
