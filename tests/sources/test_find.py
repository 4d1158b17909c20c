"""Folders, globs, files, URLs and lists become sources in a stable order, and the rest is counted."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from visionpipe.errors import ConfigurationError, ParameterError, UnreadableSourceError
from visionpipe.sources.find import FailedSource, Found, SkippedSource, Source, SourceSpec, find_sources
from visionpipe.sources.walking import walk
from visionpipe.testing.images import gif_bytes, jpeg_bytes

MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def names(spec: SourceSpec, *, recursive: bool = True) -> list[str]:
    return [found.name for found in find_sources(spec, recursive=recursive) if isinstance(found, Source)]


def skipped(spec: SourceSpec) -> list[tuple[str, str]]:
    return [(found.name, found.reason) for found in find_sources(spec) if isinstance(found, SkippedSource)]


def test_a_folder_gives_its_images_in_the_order_of_names(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {"b.jpg": b"", "a.PNG": b"", "c/2.jpg": b"", "c/1.jpeg": b"", "b/x/deep.webp": b"", "z.heic": b""},
    )
    assert names(tmp_path) == ["a.PNG", "b/x/deep.webp", "b.jpg", "c/1.jpeg", "c/2.jpg", "z.heic"]
    assert names(tmp_path, recursive=False) == ["a.PNG", "b.jpg", "z.heic"]
    first = next(find_sources(tmp_path))
    assert first == Source("a.PNG", str(tmp_path / "a.PNG"))


def test_foreign_files_are_told_by_content_and_counted(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "photo": jpeg_bytes(),
            "anim.dat": gif_bytes(),
            "clip.mp4": MP4,
            "clip.ts": b"\x47\x40\x11\x10" * 50,
            "code.ts": b"let a = 1",
            "CREDITS.md": b"# Credits",
            "paper.pdf": b"%PDF-1.5",
            "song": b"ID3\4",
            "empty": b"",
            "text.jpg": b"not a photo at all",
            ".hidden.jpg": jpeg_bytes(),
            ".cache/a.jpg": jpeg_bytes(),
            "Thumbs.db": b"x",
            "cat.jpg": jpeg_bytes(),
            "cat.txt": b"a cat",
            "cat.jpg.json": b"{}",
            "cat.xmp": b"<x/>",
            "dog.txt": b"no photo of this name",
        },
    )
    assert names(tmp_path) == ["anim.dat", "cat.jpg", "photo", "text.jpg"]
    assert Counter(reason for _, reason in skipped(tmp_path)) == {
        "hidden": 3,
        "video": 2,
        "audio": 1,
        "sidecar": 3,
        "not an image": 5,
    }
    assert (".cache/", "hidden") in skipped(tmp_path)
    details = {f.name: f.detail for f in find_sources(tmp_path) if isinstance(f, SkippedSource)}
    assert details["paper.pdf"] == "a PDF document"
    assert "visionpipe video" in details["clip.mp4"]


def test_links_never_loop_and_special_files_never_hang(tmp_path: Path) -> None:
    tree(tmp_path, {"a/1.jpg": b"x"})
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe")
    assert names(tmp_path) == ["a/1.jpg", "broken.jpg"]
    assert skipped(tmp_path) == [
        ("a/up/", "visited"),
        ("b/", "visited"),
        ("broken", "unreadable"),
        ("pipe", "unreadable"),
        ("self", "unreadable"),
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("[ab].jpg", ["a.jpg", "b.jpg"]),
        ("?.png", ["c.png"]),
        ("sub/*.jpg", ["d.jpg"]),
        ("s*/*.jpg", ["sub/d.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "sub/d.jpg", "sub/sub/e.jpg"]),
        ("**/sub/*", ["sub/d.jpg", "sub/sub/e.jpg"]),
        ("sub/**", ["d.jpg", "sub/e.jpg"]),
        (".*.jpg", [".h.jpg"]),
        ("*/*/*", ["sub/sub/e.jpg"]),
    ],
)
def test_globs_give_what_they_match(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    tree(
        tmp_path,
        dict.fromkeys(["a.jpg", "b.jpg", "c.png", ".h.jpg", "sub/d.jpg", "sub/sub/e.jpg", ".s/f.jpg"], b""),
    )
    assert names(f"{tmp_path}/{pattern}") == expected
    assert skipped(f"{tmp_path}/{pattern}") == []


def test_a_file_of_a_wild_name_is_itself(tmp_path: Path) -> None:
    tree(tmp_path, {"a[1].jpg": b"", "a1.jpg": b""})
    assert names(tmp_path / "a[1].jpg") == [(tmp_path / "a[1].jpg").as_posix()]


def test_files_and_urls_named_outright_are_sources(tmp_path: Path) -> None:
    tree(tmp_path, {"clip.mp4": MP4, "x/cat.jpg": b"", "y/cat.jpg": b""})
    url = "https://example.org/a.jpg?size=2"
    assert list(find_sources(url)) == [Source(url, url)]
    clip, one, other = (tmp_path / name for name in ("clip.mp4", "x/cat.jpg", "y/cat.jpg"))
    assert names(clip) == [clip.as_posix()]
    assert names([one, other, url]) == [one.as_posix(), other.as_posix(), url]


def test_the_same_file_named_twice_is_the_same_source(tmp_path: Path) -> None:
    tree(tmp_path, {"x/cat.jpg": b""})
    (tmp_path / "link.jpg").symlink_to(tmp_path / "x" / "cat.jpg")
    cat, url = tmp_path / "x" / "cat.jpg", "https://example.org/a.jpg"
    spellings = [f"{tmp_path}/x/cat.jpg", f"{tmp_path}/x/./cat.jpg", f"{tmp_path}/x/../x/cat.jpg"]
    found = list(find_sources([*spellings, tmp_path / "link.jpg", url, url]))
    assert found == [Source(cat.as_posix(), str(cat))] * 4 + [Source(url, url)] * 2


def test_files_and_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    tree(tmp_path, {"x/in/1.jpg": b"", "y/in/1.jpg": b"", "y/in/2.jpg": b""})
    here = os.path.relpath(tmp_path)
    assert names([f"{here}/x/in/1.jpg", f"{here}//y/in/1.jpg"]) == [
        f"{here}/x/in/1.jpg",
        f"{here}/y/in/1.jpg",
    ]
    assert names([f"{here}/x/in", f"{here}/y/in"]) == ["in/1.jpg", *(f"{here}/y/in/{n}.jpg" for n in (1, 2))]
    assert names([f"{here}/y/in/*1.jpg", f"{here}/y/in/*2.jpg"]) == ["in/1.jpg", "in/2.jpg"]


def test_a_file_of_a_folder_that_is_given_too_is_the_same_item(tmp_path: Path) -> None:
    tree(tmp_path, {"in/1.jpg": b""})
    assert names([tmp_path / "in", tmp_path / "in" / "." / "1.jpg"]) == ["in/1.jpg"] * 2


def test_a_file_and_a_folder_never_share_a_name_by_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, {"in/1.jpg": b"", "x/in/1.jpg": b""})
    monkeypatch.chdir(tmp_path)
    inner = (tmp_path / "in" / "1.jpg").resolve().as_posix()
    assert names(["x/in", "in/1.jpg"]) == ["in/1.jpg", inner]
    assert names(["in/1.jpg", "x/in"]) == ["in/1.jpg", "x/in/1.jpg"]
    assert names(["in/1.jpg", "in"]) == ["in/1.jpg"] * 2


def test_a_list_beside_others_gives_way_where_its_names_are_taken(tmp_path: Path) -> None:
    tree(tmp_path, {"x/cat.jpg": b"", "l.txt": b"x/cat.jpg\nx/cat.jpg\nelse.jpg\n"})
    assert names([tmp_path / "x", tmp_path / "l.txt"]) == [
        "x/cat.jpg",
        "x/cat.jpg (line 1)",
        "x/cat.jpg (line 2)",
        "else.jpg",
    ]


def test_several_folders_keep_their_names_apart(tmp_path: Path) -> None:
    tree(tmp_path, {"x/in/1.jpg": b"", "y/in/1.jpg": b"", "z/2.jpg": b""})
    specs = [tmp_path / "x" / "in", tmp_path / "y" / "in", tmp_path / "z" / "*.jpg"]
    other = (tmp_path / "y" / "in" / "1.jpg").as_posix()
    assert names(specs) == ["in/1.jpg", other, "z/2.jpg"]
    assert names(specs) == names(specs)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", b"id,path,note\n7,a/1.jpg,nice\n8,https://x.org/2.jpg,\n"),
        ("l.csv", b"\xef\xbb\xbfid,Path,note\r\n7,a/1.jpg,nice\r\n\r\n8,https://x.org/2.jpg\r\n"),
        ("l.csv", b"id;path;note\n7;a/1.jpg;nice\n8;https://x.org/2.jpg;\n"),
        ("l.tsv", b"id\tpath\tnote\n7\ta/1.jpg\tnice\n8\thttps://x.org/2.jpg\t\n"),
        ("l.csv", "id,path,note\n7,a/1.jpg,nice\n8,https://x.org/2.jpg,\n".encode("utf-16")),
        (
            "l.jsonl",
            b'{"id": 7, "path": "a/1.jpg", "note": "nice"}\n\n'
            b'{"id": 8, "url": "https://x.org/2.jpg", "note": null}\n',
        ),
    ],
)
def test_lists_give_paths_urls_and_fields(tmp_path: Path, name: str, content: bytes) -> None:
    tree(tmp_path, {name: content})
    one, two = find_sources(tmp_path / name)
    assert isinstance(one, Source) and isinstance(two, Source)
    assert (one.name, one.location) == ("a/1.jpg", str(tmp_path / "a/1.jpg"))
    assert (two.name, two.location) == ("https://x.org/2.jpg", "https://x.org/2.jpg")
    assert {k.lower(): v for k, v in one.fields.items()} == {"id": "7", "note": "nice"}
    assert {k.lower(): v for k, v in two.fields.items()} == {"id": "8", "note": ""}


def test_plain_lists_and_json_texts(tmp_path: Path) -> None:
    tree(tmp_path, {"l.txt": b"# photos\n\n a.jpg \n/abs/b.jpg\n", "l.jsonl": b'"a.jpg"\n'})
    assert [f.location for f in find_sources(tmp_path / "l.txt") if isinstance(f, Source)] == [
        str(tmp_path / "a.jpg"),
        "/abs/b.jpg",
    ]
    assert names(tmp_path / "l.jsonl") == ["a.jpg"]


def test_the_column_can_be_chosen(tmp_path: Path) -> None:
    path = tree(tmp_path, {"l.csv": b"path,big\na.jpg,b.jpg\n"}) / "l.csv"
    [found] = find_sources(path, column="big")
    assert found == Source("b.jpg", str(tmp_path / "b.jpg"), {"path": "a.jpg"})
    with pytest.raises(ParameterError, match="no column huge; it has path, big"):
        find_sources(path, column="huge")


def test_a_name_listed_twice_gets_its_line(tmp_path: Path) -> None:
    tree(tmp_path, {"l.csv": b"path,ask\na.jpg,who\na.jpg,where\na.jpg,why\n"})
    assert names(tmp_path / "l.csv") == ["a.jpg", "a.jpg (line 3)", "a.jpg (line 4)"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.csv", b"path,note\na.jpg,x\nb.jpg,y,z\n", "line 3: 3 values under 2 columns"),
        ("l.csv", b'path,note\na.jpg,x\n"b.jpg"q,y\n', "line 3"),
        ("l.csv", b"path,note\na.jpg,x\n,y\n", "line 3: the column path is empty"),
        ("l.jsonl", b'{"path": "a.jpg"}\n{"path": \n', "line 2: it is no JSON"),
        ("l.jsonl", b'{"path": "a.jpg"}\n[1]\n', "line 2: it is neither"),
        ("l.txt", b"a.jpg\n" * 3000 + b"\xe9.jpg\n", "not UTF-8"),
    ],
)
def test_a_malformed_line_names_the_file_and_the_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    found = find_sources(tree(tmp_path, {name: content}) / name)
    with pytest.raises(UnreadableSourceError) as caught:
        list(found)
    assert words in str(caught.value) and name in str(caught.value)
    assert caught.value.scope == "job"


def test_a_key_that_goes_missing_names_its_line(tmp_path: Path) -> None:
    tree(tmp_path, {"l.jsonl": b'{"path": "a.jpg"}\n{"paht": "b.jpg"}\n'})
    with pytest.raises(ParameterError, match="line 2"):
        list(find_sources(tmp_path / "l.jsonl"))


def test_what_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    for spec in (tmp_path / "none", f"{tmp_path}/none/*.jpg", "", "nul\0byte", tmp_path / "none.csv"):
        with pytest.raises(UnreadableSourceError) as caught:
            find_sources(spec)
        assert caught.value.code == "missing" and caught.value.cure
    with pytest.raises(UnreadableSourceError, match="matches no file"):
        list(find_sources(f"{tmp_path}/*.jpg"))
    with pytest.raises(ParameterError):
        find_sources([])


def test_a_name_that_is_no_text_is_shown_as_escapes(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(raw)).write_bytes(jpeg_bytes())
    [found] = find_sources(tmp_path)
    assert isinstance(found, Source)
    assert found.name == "caf\\xe9.jpg"
    assert os.fsencode(found.location) == raw


def test_many_folders_cost_the_memory_of_one(tmp_path: Path) -> None:
    for folder in range(40):
        (tmp_path / f"{folder:02}").mkdir()
        for file in range(50):
            (tmp_path / f"{folder:02}" / f"{file:02}.jpg").touch()
    tracemalloc.start()
    try:
        count = sum(1 for _ in find_sources(tmp_path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2000
    assert peak < 200_000  # bytes; the names of all files alone would be more


def test_a_folder_that_vanishes_on_the_way_is_counted(tmp_path: Path) -> None:
    tree(tmp_path, {"a/1.jpg": b"", "b/2.jpg": b"", "c.jpg": b""})
    found = find_sources(tmp_path)
    assert next(found) == Source("a/1.jpg", str(tmp_path / "a" / "1.jpg"))
    (tmp_path / "b" / "2.jpg").unlink()
    (tmp_path / "b").rmdir()
    failed, last = found
    assert isinstance(failed, FailedSource)
    assert failed.name == "b/"
    assert failed.error.code == "vanished"
    assert last.name == "c.jpg"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EIO, "unreadable"),
        (errno.ENOENT, "vanished"),
    ],
)
def test_a_folder_that_cannot_be_listed_is_a_failure_that_may_pass(
    tmp_path: Path, number: int, code: str
) -> None:
    tree(tmp_path, {"a/1.jpg": b"", "b/2.jpg": b"", "c.jpg": b""})

    def scan(folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        if folder.endswith("b"):
            raise OSError(number, os.strerror(number), folder)
        return os.scandir(folder)

    found = list(walk(str(tmp_path), "photos/", scan=scan))
    assert [one.name for one in found] == ["photos/a/1.jpg", "photos/b/", "photos/c.jpg"]
    failed = found[1]
    assert isinstance(failed, FailedSource)
    assert failed.error.subject == "photos/b/"
    assert failed.error.code == code
    assert failed.error.retryable
    assert failed.error.scope == "item"
    assert os.strerror(number) in failed.error.reason
    assert "run again" in failed.error.cure


def test_an_iterator_a_set_and_found_items_are_sources(tmp_path: Path) -> None:
    tree(tmp_path, {"a.jpg": b"", "in/b.jpg": b"", "list.txt": b"a.jpg\n"})
    a, folder = str(tmp_path / "a.jpg"), tmp_path / "in"
    given: list[str | os.PathLike[str]] = [a, folder]
    assert [f.name for f in find_sources(iter(given))] == [a, "in/b.jpg"]
    assert [f.name for f in find_sources(path for path in (folder, a))] == ["in/b.jpg", a]
    assert [f.name for f in find_sources({tmp_path / "in" / "b.jpg", a})] == [a, f"{folder}/b.jpg"]
    found: list[Found] = [Source("x", a), SkippedSource("y", "hidden")]
    assert list(find_sources([*found, folder]))[:2] == found
    assert list(find_sources(iter(found))) == found


def test_an_iterator_is_read_as_it_goes(tmp_path: Path) -> None:
    given = iter([str(tmp_path / "gone.jpg"), str(tmp_path), "never"])
    found = find_sources(given)
    assert next(found).name.endswith("gone.jpg")
    assert list(given) == [str(tmp_path), "never"]


@pytest.mark.parametrize("given", [7, b"a.jpg", {"a.jpg": 1}, ["a.jpg", 7], [b"a.jpg"], {7}, None])
def test_what_names_no_images_is_an_error_with_the_cure(given: Any) -> None:
    with pytest.raises(ParameterError, match=r"names no images\. .*Give a folder") as caught:
        find_sources(given)
    assert caught.value.scope == "job"
    if isinstance(given, list):
        with pytest.raises(ParameterError, match="names no images"):
            list(find_sources(iter(given)))


@pytest.mark.parametrize("scheme", ["az", "nope", "NOPE"])
def test_an_address_of_a_store_that_is_not_known_is_never_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, {f"{scheme}:/bucket/a.jpg": b""})
    address = f"{scheme}://bucket/a.jpg"
    with pytest.raises(ConfigurationError, match=scheme.lower()):
        find_sources([address])
    [found] = find_sources(iter([address]))
    assert isinstance(found, FailedSource)
    (tmp_path / "list.csv").write_text(f"path\n{address}\nb.jpg\n")
    assert [type(one) for one in find_sources("list.csv")] == [FailedSource, Source]
    assert [type(one) for one in find_sources("-", piped=address.encode())] == [FailedSource]


def test_a_file_url_is_the_file(tmp_path: Path) -> None:
    path = tree(tmp_path, {"a b.jpg": b""}) / "a b.jpg"
    url = path.as_uri()
    (tmp_path / "list.txt").write_text(f"{url}\n")
    for spec in (url, iter([url]), str(tmp_path / "list.txt")):
        [found] = find_sources(spec)
        assert isinstance(found, Source)
        assert found.location == str(path)
    assert [found.name for found in find_sources(tmp_path.as_uri())] == ["a b.jpg", "list.txt"]
    with pytest.raises(UnreadableSourceError, match="a file on elsewhere"):
        find_sources("file://elsewhere/a.jpg")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("p.7z", "7z x p.7z"),
        ("P.ZIP", "unzip P.ZIP"),
    ],
)
def test_an_archive_is_refused_with_the_way_to_its_images(tmp_path: Path, name: str, cure: str) -> None:
    path = tree(tmp_path, {name: b"x"}) / name
    with pytest.raises(ParameterError, match=cure):
        find_sources(path)
    [found] = find_sources(iter([path]))
    assert isinstance(found, FailedSource)
