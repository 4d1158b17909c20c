"""What a job writes is no item of the folder it lies in; what merely looks alike is."""

from __future__ import annotations

import re
from pathlib import Path

from visionpipe.sources.find import SourceListing
from visionpipe.sources.own_files import OwnFiles, OwnSidecars
from visionpipe.testing.images import jpeg_bytes


def found(folder: Path, own: OwnFiles) -> list[str]:
    return [one.name for one in SourceListing(folder, own=own)]


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg_bytes() if name.endswith(".jpg") else b"text")
    return root


def named_txt(image: str) -> tuple[str]:
    return (f"{Path(image).stem}.txt",)


def test_exact_places_and_numbered_ones_are_passed_over(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "out.csv", "sub/out.csv", "sub/shard-000001.tar", "shard-000001.tar")
    own = OwnFiles([tmp_path / "out.csv"], [(tmp_path / "sub", re.compile(r"shard-\d{6}\.tar"))])
    assert found(tmp_path, own) == ["a.jpg", "shard-000001.tar", "sub/out.csv"]
    assert [one.name for one in SourceListing(f"{tmp_path}/*", own=own)] == ["a.jpg", "shard-000001.tar"]


def test_a_link_and_what_it_leads_to_are_one_file(tmp_path: Path) -> None:
    tree(tmp_path / "in", "a.jpg", "kept/real.jsonl")
    (tmp_path / "in" / "out.jsonl").symlink_to(tmp_path / "in" / "kept" / "real.jsonl")
    (tmp_path / "door").symlink_to(tmp_path / "in")
    assert found(tmp_path / "in", OwnFiles([tmp_path / "door" / "out.jsonl"])) == ["a.jpg"]


def test_sidecars_beside_images_are_passed_over_and_other_texts_are_not(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "a.txt", "a.json", "notes.txt", "sub/b.jpg", "sub/b.txt", "sub/a.txt")
    own = OwnFiles(sidecars=[OwnSidecars(named_txt)])
    assert found(tmp_path, own) == ["a.jpg", "a.json", "notes.txt", "sub/a.txt", "sub/b.jpg"]


def test_sidecars_in_a_folder_of_their_own_belong_to_the_images_at_the_same_place(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "sub/b.jpg", "texts/a.txt", "texts/b.txt", "texts/sub/b.txt", "a.txt")
    own = OwnFiles(sidecars=[OwnSidecars(named_txt, str(tmp_path / "texts"), (str(tmp_path),))])
    assert found(tmp_path, own) == ["a.jpg", "a.txt", "sub/b.jpg", "texts/b.txt"]


def test_of_several_folders_each_has_its_own_name_below(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "one/a.jpg",
        "two/b.jpg",
        "two/texts/one/a.txt",
        "two/texts/two/b.txt",
        "two/texts/two/a.txt",
    )
    roots = (str(tmp_path / "one"), str(tmp_path / "two"))
    own = OwnFiles(sidecars=[OwnSidecars(named_txt, str(tmp_path / "two" / "texts"), roots)])
    assert [one.name for one in SourceListing(roots, own=own)] == [
        "one/a.jpg",
        "two/b.jpg",
        "two/texts/two/a.txt",
    ]


def test_an_image_is_always_met(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    assert found(tmp_path, OwnFiles([tmp_path / "a.jpg"])) == ["a.jpg"]
