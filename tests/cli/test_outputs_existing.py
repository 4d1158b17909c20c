"""What is the user's stays the user's: every kind of output, and each way to treat what is there."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.cli.commands import Finished, Here, cat, here, lines, visionpipe
from tests.client.faces import KEY, chat
from tests.loopback import Answer, Loopback, Seen
from visionpipe.testing.images import jpeg_bytes

TABLES = {
    "csv": "out.csv",
    "parquet": "out.parquet",
    "sqlite": "out.sqlite",
    "jsonl": "out.jsonl",
    "html": "out.html",
    "webdataset": "out-000000.tar",
}
SIDECARS = ("txt", "json")


class Job:
    """A folder of photos, an endpoint that answers, and the command over them."""

    def __init__(self, folder: Path, server: Loopback, here: Here) -> None:
        self.here = here
        self.folder, self.photos, self.server = folder, folder / "in", server
        self.photos.mkdir()
        self.caption = "A caption."
        server.script(answer=lambda _: chat(self.caption))
        for name in ("a", "b"):
            self.add(name)

    def add(self, name: str) -> None:
        size = len(list(self.photos.iterdir()))
        (self.photos / f"{name}.jpg").write_bytes(jpeg_bytes(64 + size, 48))

    def run(self, *words: str) -> Finished:
        address = ["--base-url", f"bigmodel+{self.server.url}", "--model", "glm-4v-plus-0111"]
        command = ["caption", "in", "--journal", "job.journal", "--concurrency", "1", *address, *words]
        return self.here(*command, folder=self.folder, env={"VISIONPIPE_API_KEY": KEY})

    @property
    def asked(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def job(tmp_path: Path, loopback: Loopback, capfd: pytest.CaptureFixture[str]) -> Job:
    return Job(tmp_path, loopback, here(capfd))


def backups(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.~*~"))


@pytest.mark.parametrize("kind", SIDECARS)
def test_an_edited_sidecar_is_kept_and_counted(job: Job, kind: str) -> None:
    job.run("-o", f"{kind}:")
    mine = job.photos / f"a.{kind}"
    mine.write_text('{"mine": 1}')
    job.add("c")
    done = job.run("-o", f"{kind}:")
    assert done.returncode == 0, done.stderr
    assert mine.read_text() == '{"mine": 1}'
    assert "kept: 1 sidecar that somebody else wrote or edited" in done.stderr
    assert "A caption." in (job.photos / f"c.{kind}").read_text()
    assert job.asked == 3
    forced = job.run("-o", f"{kind}:", "--existing", "overwrite")
    assert forced.returncode == 0, forced.stderr
    assert "A caption." in mine.read_text()
    assert backups(job.photos) == [f"a.{kind}.~1~"]
    assert (job.photos / f"a.{kind}.~1~").read_text() == '{"mine": 1}'
    assert job.asked == 3


@pytest.mark.parametrize("kind", SIDECARS)
def test_an_item_whose_only_output_is_kept_is_not_asked(job: Job, kind: str) -> None:
    (job.photos / f"a.{kind}").write_text("[1]")
    (job.photos / f"b.{kind}").write_text("[2]")
    done = job.run("-o", f"{kind}:")
    assert done.returncode == 0, done.stderr
    assert job.asked == 0
    assert "kept: 2 sidecars that somebody else wrote or edited" in done.stderr
    assert "0 images found" not in done.stderr
    both = job.run("-o", f"{kind}:", "-o", "out.jsonl")
    assert job.asked == 2
    assert both.returncode == 0, both.stderr
    assert (job.photos / f"a.{kind}").read_text() == "[1]"
    assert set(lines(job.folder / "out.jsonl")) == {"a.jpg", "b.jpg"}


def test_a_sidecar_of_ours_follows_another_question(job: Job) -> None:
    job.run("-o", "txt:")
    job.caption = "Another answer."
    done = job.run("-o", "txt:", "--prompt", "What else?")
    assert done.returncode == 0, done.stderr
    assert (job.photos / "a.txt").read_text() == "Another answer.\n"
    assert "kept:" not in done.stderr


def test_a_journal_that_noted_no_files_knows_its_sidecars_by_their_text(job: Job) -> None:
    job.run("-o", "txt:", "-o", "json:")
    (job.photos / "b.txt").write_text("mine\n")
    with closing(sqlite3.connect(job.folder / "job.journal")) as journal:
        journal.execute("DROP TABLE written")
        journal.commit()
    job.caption = "Another answer."
    done = job.run("-o", "txt:", "-o", "json:", "--prompt", "What else?")
    assert (job.photos / "a.txt").read_text() == "Another answer.\n"
    assert (job.photos / "b.txt").read_text() == "mine\n"
    assert orjson.loads((job.photos / "b.json").read_bytes())["caption"] == "Another answer."
    assert "kept: 1 sidecar " in done.stderr


@pytest.mark.parametrize(("way", "text"), [("append", "mine A caption.\n"), ("prepend", "A caption. mine\n")])
def test_texts_are_joined_once(job: Job, way: str, text: str) -> None:
    mine = job.photos / "a.txt"
    mine.write_text("mine\n")
    for _ in range(2):
        done = job.run("-o", "txt:", "--existing", way)
        assert done.returncode == 0, done.stderr
        assert mine.read_text() == text
    assert (job.photos / "b.txt").read_text() == "A caption.\n"
    # The next answer takes the place of ours alone.
    job.caption = "Another."
    job.run("-o", "txt:", "--prompt", "What else?")
    assert mine.read_text() == text.replace("A caption.", "Another.")


def test_only_text_is_joined(job: Job) -> None:
    refused = job.run("-o", "out.csv", "--existing", "append")
    assert refused.returncode == 2
    assert "add -o txt:" in refused.stderr
    assert job.run("-o", "out.csv", "--existing", "maybe").returncode == 2
    assert job.asked == 0


def test_a_description_in_xmp_is_kept_and_the_rest_is_added(job: Job) -> None:
    job.run("-o", "xmp:")
    packet = job.photos / "a.xmp"
    packet.write_text(packet.read_text().replace('x-default">A caption.', 'x-default">Mine.'))
    edited = packet.read_bytes()
    job.add("c")
    done = job.run("-o", "xmp:")
    assert done.returncode == 0, done.stderr
    assert packet.read_bytes() == edited
    assert "kept: 1 sidecar " in done.stderr
    forced = job.run("-o", "xmp:", "--existing", "overwrite")
    assert forced.returncode == 0, forced.stderr
    assert b">Mine.<" not in packet.read_bytes()
    assert (job.photos / "a.xmp.~1~").read_bytes() == edited
    assert backups(job.photos) == ["a.xmp.~1~"]


def test_an_item_whose_description_in_xmp_is_somebody_elses_is_asked_for_tags_alone(job: Job) -> None:
    job.run("-o", "xmp:", "--sample", "2")
    for name in ("a", "b"):
        packet = job.photos / f"{name}.xmp"
        packet.write_text(packet.read_text().replace('x-default">A caption.', 'x-default">Mine.'))
    asked = job.asked
    done = job.run("-o", "xmp:", "--preset", "alt_text")
    assert done.returncode == 0, done.stderr
    assert job.asked == asked
    assert "kept: 2 sidecars that somebody else wrote or edited" in done.stderr
    job.caption = '{"tags": ["cat"]}'
    tagged = job.run("-o", "xmp:", "--preset", "tags")
    assert tagged.returncode == 0, tagged.stderr
    assert job.asked == asked + 2
    assert ">cat<" in (job.photos / "a.xmp").read_text()
    assert ">Mine.<" in (job.photos / "a.xmp").read_text()


@pytest.mark.parametrize(
    "name", [*TABLES.values(), "failures.csv", "kohya:meta.json", "imagefolder:meta.jsonl", "pairs:p.jsonl"]
)
def test_somebody_elses_table_is_refused_before_anything_is_asked(job: Job, name: str) -> None:
    file = job.folder / name.rpartition(":")[2]
    output = "out.tar" if name.endswith(".tar") else name
    theirs = b'{"file_name": "a.jpg", "text": "mine"}\n'
    file.write_bytes(theirs)
    refused = job.run("-o", output)
    assert refused.returncode == 2, refused.stderr
    assert f"{file.name}: it is there, and no job of visionpipe made it" in refused.stderr
    assert "--existing overwrite" in refused.stderr
    assert job.asked == 0
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(["in", file.name])
    assert file.read_bytes() == theirs
    forced = job.run("-o", output, "--existing", "overwrite")
    assert forced.returncode == 0, forced.stderr
    assert file.read_bytes() != theirs
    assert backups(job.folder) == [f"{file.name}.~1~"]
    assert (job.folder / f"{file.name}.~1~").read_bytes() == theirs


@pytest.mark.parametrize("kind", TABLES)
def test_an_edited_table_is_refused_and_one_of_ours_goes_on(job: Job, kind: str) -> None:
    file = job.folder / TABLES[kind]
    output = "out.tar" if kind == "webdataset" else TABLES[kind]
    assert job.run("-o", output).returncode == 0
    job.add("c")
    grown = job.run("-o", output)
    assert grown.returncode == 0, grown.stderr
    assert (job.asked, backups(job.folder)) == (3, [])
    edited = file.read_bytes().replace(b"A caption.", b"My caption", 1)
    if kind == "parquet":
        edited += b"edited"
    file.write_bytes(edited)
    job.add("d")
    refused = job.run("-o", output)
    assert refused.returncode == 2, refused.stderr
    assert "somebody changed it since a job wrote it" in refused.stderr
    assert (job.asked, file.read_bytes()) == (3, edited)
    forced = job.run("-o", output, "--existing", "overwrite")
    assert forced.returncode == 0, forced.stderr
    assert job.asked == 4
    assert (job.folder / f"{file.name}.~1~").read_bytes() == edited
    again = job.run("-o", output)
    assert (again.returncode, backups(job.folder)) == (0, [f"{file.name}.~1~"])


def test_a_file_copied_elsewhere_and_back_is_still_ours(job: Job) -> None:
    job.run("-o", "out.csv")
    data = (job.folder / "out.csv").read_bytes()
    (job.folder / "out.csv").unlink()
    (job.folder / "out.csv").write_bytes(data)
    assert job.run("-o", "out.csv").returncode == 0


def test_a_table_of_a_release_that_noted_no_files_is_ours(job: Job) -> None:
    outputs = [
        word for kind in ("csv", "jsonl", "parquet", "sqlite", "html", "tar") for word in ("-o", f"o.{kind}")
    ]
    job.run(*outputs)
    (job.folder / "job.journal").unlink()
    again = job.run(*outputs)
    assert again.returncode == 0, again.stderr


def test_images_that_would_share_a_sidecar_are_told_before_anything_is_asked(job: Job) -> None:
    (job.photos / "a.png").write_bytes(jpeg_bytes(50, 48))
    refused = job.run("-o", "txt:")
    assert refused.returncode == 2
    assert "a.jpg and a.png" in refused.stderr
    assert "--naming '{name}.txt'" in refused.stderr
    assert job.asked == 0
    assert job.run("-o", "txt:", "--naming", "{name}.txt").returncode == 0
    assert job.asked == 3


@pytest.mark.parametrize("kind", TABLES)
def test_a_failure_takes_no_good_answers_place(job: Job, kind: str) -> None:
    output = "out.tar" if kind == "webdataset" else TABLES[kind]
    outputs = ["-o", "all.jsonl", "-o", output]
    job.run(*outputs)
    failing = Answer(400, b'{"error": {"code": "1210", "message": "temperature is out of range"}}')

    def answer(seen: Seen) -> Answer:
        return failing

    job.server.script(answer=answer)
    for words in (["--temperature", "0.9"], ["--force"]):
        failed = job.run(*outputs, *words)
        assert failed.returncode == 1
        held = lines(job.folder / "all.jsonl")
        assert {one["caption"] for one in held.values()} == {"A caption."}
        assert {one["outcome"] for one in held.values()} == {"done"}
    assert "A caption." in (job.folder / TABLES[kind]).read_bytes().decode("latin-1")


def test_a_run_that_ends_early_leaves_what_it_has_not_come_to(job: Job) -> None:
    job.run("-o", "out.jsonl")
    job.caption = "Another."
    stopped = job.run("-o", "out.jsonl", "--prompt", "What else?", "--budget-requests", "1")
    assert stopped.returncode == 1
    held = lines(job.folder / "out.jsonl")
    assert sorted(one["caption"] for one in held.values()) == ["A caption.", "Another."]
    job.run("-o", "out.jsonl", "--prompt", "What else?")
    assert {one["caption"] for one in lines(job.folder / "out.jsonl").values()} == {"Another."}


def test_an_export_keeps_to_the_same_rule(job: Job) -> None:
    job.run("-o", "out.jsonl")
    (job.folder / "mine.csv").write_text("a,b\n")
    (job.photos / "a.txt").write_text("mine\n")
    refused = job.here("export", "job.journal", "-o", "mine.csv", folder=job.folder)
    assert refused.returncode == 2
    assert (job.folder / "mine.csv").read_text() == "a,b\n"
    kept = job.here("export", "job.journal", "-o", "txt:", folder=job.folder)
    assert kept.returncode == 0
    assert "kept: 1 sidecar " in kept.stderr
    assert (job.photos / "a.txt").read_text() == "mine\n"
    forced = job.here("export", "job.journal", "-o", "mine.csv", "--existing", "overwrite", folder=job.folder)
    assert forced.returncode == 0
    assert backups(job.folder) == ["mine.csv.~1~"]
    for _ in range(2):
        twice = job.here("export", "job.journal", "-o", "again.jsonl", folder=job.folder)
        assert twice.returncode == 0
        assert len(lines(job.folder / "again.jsonl")) == 2


def test_photos_that_are_gone_leave_the_outputs_with_prune(job: Job) -> None:
    job.add("c")
    outputs = ["-o", "out.jsonl", "-o", "out.csv", "-o", "out.sqlite", "-o", "txt:"]
    job.run(*outputs)
    (job.photos / "a.jpg").unlink()
    told = job.run(*outputs)
    assert "gone: 1 photo is no longer where they were found (--prune" in told.stderr
    assert set(lines(job.folder / "out.jsonl")) == {"a.jpg", "b.jpg", "c.jpg"}
    pruned = job.run(*outputs, "--prune")
    assert pruned.returncode == 0, pruned.stderr
    assert set(lines(job.folder / "out.jsonl")) == {"b.jpg", "c.jpg"}
    assert "a.jpg" not in (job.folder / "out.csv").read_text()
    with closing(sqlite3.connect(job.folder / "out.sqlite")) as database:
        assert sorted(database.execute("SELECT path FROM results")) == [("b.jpg",), ("c.jpg",)]
    assert (job.photos / "a.txt").exists()
    for photo in job.photos.glob("*"):
        photo.unlink()
    unmounted = job.run(*outputs, "--prune")
    assert "gone:" not in unmounted.stderr


def test_prune_knows_what_a_glob_would_have_found(job: Job) -> None:
    """Not what the glob leaves out, nor what another source of the journal found."""
    (job.photos / "sub").mkdir()
    for name in ("a.png", "sub/a.jpg", "sub/b.jpg"):
        size = 90 + len(name)
        (job.photos / name).write_bytes(jpeg_bytes(size, 48))
    job.run("-o", "out.jsonl")
    everything = set(lines(job.folder / "out.jsonl"))
    assert everything == {"a.jpg", "b.jpg", "a.png", "sub/a.jpg", "sub/b.jpg"}
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        (job.photos / name).unlink()

    def pruned(*sources: str) -> set[str]:
        address = ["--base-url", f"bigmodel+{job.server.url}", "--model", "glm-4v-plus-0111"]
        words = ["-o", "out.jsonl", "--journal", "job.journal", "--prune", *address]
        done = job.here("caption", *sources, *words, folder=job.folder, env={"VISIONPIPE_API_KEY": KEY})
        assert done.returncode == 0, done.stderr
        return everything - set(lines(job.folder / "out.jsonl"))

    assert pruned("in/*.jpg") == {"a.jpg"}
    assert pruned("in/**/*.jpg") == {"a.jpg", "sub/a.jpg"}
    assert pruned("in") == {"a.jpg", "a.png", "sub/a.jpg"}
    (job.folder / "list.txt").write_text("in/b.jpg\n")
    refused = job.here("caption", "list.txt", "-o", "l.jsonl", "--prune", folder=job.folder)
    assert refused.returncode == 2
    assert "name the photos' folder" in refused.stderr


def test_skipped_files_are_shown_where_they_are_asked_for(job: Job) -> None:
    (job.photos / "notes.md").write_text("# Notes")
    for words, shown in (([], {"a.jpg", "b.jpg"}), (["--include-skipped"], {"a.jpg", "b.jpg", "notes.md"})):
        done = job.run("-o", "out.jsonl", "-o", "out.html", "-o", "out.csv", *words)
        assert done.returncode == 0, done.stderr
        assert "skipped, not an image: 1" in done.stderr
        assert set(lines(job.folder / "out.jsonl")) == shown
        assert len((job.folder / "out.csv").read_text().splitlines()) == 1 + len(shown)
        assert ("notes.md" in (job.folder / "out.html").read_text()) == ("notes.md" in shown)


def test_the_journal_of_another_job_is_no_item(job: Job) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg")):
        (job.photos / name).write_bytes(cat(number))
    job.here("caption", "in", "-o", "txt:", folder=job.folder)
    assert (job.photos / ".visionpipe.journal").exists()
    (job.photos / "mine.journal").write_text("a diary")
    done = job.run("-o", "out.jsonl", "--include-skipped")
    assert set(lines(job.folder / "out.jsonl")) == {"a.jpg", "a.txt", "b.jpg", "b.txt", "mine.journal"}, done


def test_another_packages_output_is_opened_by_its_word_and_keeps_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "lengths.py").write_text(
        "class Lengths:\n"
        "    keeps_previous = False\n"
        "    def __init__(self, path): self.path, self.lines = path, []\n"
        "    def write(self, result): self.lines.append(f'{result.source} {len(result.caption)}')\n"
        "    def flush(self): pass\n"
        "    def close(self): self.path.write_text(chr(10).join(self.lines))\n"
        "    def abort(self): self.lines.clear()\n"
    )
    named = tmp_path / "lengths-1.dist-info"
    named.mkdir()
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: lengths\nVersion: 1\n")
    (named / "entry_points.txt").write_text("[visionpipe.sinks]\nlengths = lengths:Lengths\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cat.jpg").write_bytes(cat())
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    given = ["caption", "in", "-o", "lengths:out.txt", "--journal", "j", "-q"]
    assert visionpipe(*given, folder=tmp_path, env={"PYTHONPATH": places}).returncode == 0
    assert (tmp_path / "out.txt").read_text().startswith("cat.jpg ")
    (tmp_path / "out.txt").write_text("mine")
    refused = visionpipe(*given, folder=tmp_path, env={"PYTHONPATH": places})
    assert (refused.returncode, (tmp_path / "out.txt").read_text()) == (2, "mine"), refused.stderr


def test_a_folder_given_as_the_journal_is_called_one(job: Job) -> None:
    done = job.run("-o", "out.csv", "--journal", "in")
    assert done.returncode == 1
    assert "in: this is a folder, no journal" in done.stderr
    assert not (job.folder / "out.csv").exists() and job.asked == 0
