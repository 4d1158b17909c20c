"""Near duplicates by features in a whole job: planned, shared, kept for the next run, alone in failure."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.pipeline.answering import Scripted
from visionpipe.errors import ContentPolicyError
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.results import ItemResult, Outcome

SAMPLES = Path(__file__).parent.parent.parent / "samples"


def job(answerer: Scripted, **arguments: Any) -> Pipeline:
    given: dict[str, Any] = {
        "answerer": answerer,
        "model": "m",
        "concurrency": 4,
        "near_duplicates": "features",
    }
    return Pipeline("What is it?", **(given | arguments))


def run(pipeline: Pipeline, folder: Path) -> dict[str, ItemResult]:
    return {result.source: result for result in pipeline.run(folder)}


@pytest.fixture(scope="module")
def versions() -> dict[str, bytes]:
    """Two photos, and versions of them that no hash of brightness takes for the same."""
    found: dict[str, bytes] = {}
    for name in ("coffee.png", "astronaut.png"):
        stem = name[0]
        with Image.open(SAMPLES / name) as opened:
            picture = opened.convert("RGB").resize((300, 300))
        made = {
            f"{stem}1": picture,
            f"{stem}2 mirrored": ImageOps.mirror(picture),
            f"{stem}3 cropped": picture.crop((15, 15, 285, 285)),
            f"{stem}4 darker": ImageEnhance.Brightness(picture).enhance(0.75),
        }
        for key, version in made.items():
            out = io.BytesIO()
            version.save(out, "JPEG", quality=90)
            found[f"{key}.jpg"] = out.getvalue()
    return found


def folder_of(path: Path, pictures: dict[str, bytes]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("preparers", [1, 4])
def test_versions_are_planned_and_shared_with_the_first_of_the_listing(
    tmp_path: Path, versions: dict[str, bytes], preparers: int
) -> None:
    folder = folder_of(tmp_path / "in", versions)
    answerer = Scripted()
    pipeline = job(answerer, preparers=preparers)
    planned = {item.source: item for item in pipeline.plan(folder)}
    assert [name for name, item in planned.items() if item.fate == "send"] == ["a1.jpg", "c1.jpg"]
    assert (planned["c2 mirrored.jpg"].reason or "").startswith("looks like c1.jpg (likeness 0.9")
    results = run(pipeline, folder)
    assert answerer.asked == {"a1.jpg": 1, "c1.jpg": 1}
    for name, result in results.items():
        first = f"{name[0]}1.jpg"
        assert result.caption == f"a picture of {first}"
        assert result.duplicate_of == (None if name == first else first)
    (note,) = results["a2 mirrored.jpg"].notes
    assert note.kind == "near_duplicate"
    assert note.detail.endswith("to a1.jpg")
    assert results["a3 cropped.jpg"].usage is None


def test_the_hash_finds_none_of_them(tmp_path: Path, versions: dict[str, bytes]) -> None:
    chosen = {name: data for name, data in versions.items() if "mirrored" in name or "1" in name}
    answerer = Scripted()
    run(job(answerer, near_duplicates=11), folder_of(tmp_path / "in", chosen))
    assert len(answerer.asked) == len(chosen) == 4


def test_a_stricter_likeness_finds_fewer(tmp_path: Path, versions: dict[str, bytes]) -> None:
    folder = folder_of(tmp_path / "in", versions)
    fates = [item.fate for item in job(Scripted(), near_duplicates="features:0.995").plan(folder)]
    assert fates == ["send"] * 8


def test_the_next_run_knows_what_the_last_one_saw(tmp_path: Path, versions: dict[str, bytes]) -> None:
    names = sorted(versions)
    folder = folder_of(tmp_path / "in", {name: versions[name] for name in names[:2]})
    answerer = Scripted()
    run(job(answerer, journal=tmp_path / "j"), folder)
    folder_of(folder, versions)
    pipeline = job(answerer, journal=tmp_path / "j")
    fates = {item.source: item.fate for item in pipeline.plan(folder)}
    assert [fates[name] for name in names] == ["keep"] * 2 + ["duplicate"] * 2 + ["send"] + ["duplicate"] * 3
    results = run(pipeline, folder)
    assert answerer.asked == {"a1.jpg": 1, "c1.jpg": 1}
    assert results["a4 darker.jpg"].duplicate_of == "a1.jpg"


def test_a_twin_waits_for_the_first_and_shares_no_failure(tmp_path: Path, versions: dict[str, bytes]) -> None:
    chosen = {name: data for name, data in versions.items() if name.startswith("a")}
    prepared = threading.Event()

    def script(name: str, number: int) -> str | None:
        if name == "a1.jpg":
            assert prepared.wait(30)
            raise ContentPolicyError("not this one", cure="Leave it out.", code="1301")
        return None

    class Watched(Scripted):
        def prepare(self, source: Any, prompt: str) -> Any:
            # The last of the listing is unlike the others: all duplicates are waiting when it is prepared.
            if source.name == "z.png":
                prepared.set()
            return super().prepare(source, prompt)

    answerer = Watched(script)
    folder = folder_of(tmp_path / "in", chosen | {"z.png": (SAMPLES / "horse.png").read_bytes()})
    results = run(job(answerer, preparers=1), folder)
    assert results["a1.jpg"].outcome is Outcome.FAILED
    assert answerer.asked == dict.fromkeys([*sorted(chosen), "z.png"], 1)
    assert all(results[name].outcome is Outcome.DONE for name in sorted(chosen)[1:])
    assert all(result.duplicate_of is None for result in results.values())


def test_a_picture_that_cannot_be_looked_at_fails_alone(tmp_path: Path, versions: dict[str, bytes]) -> None:
    chosen = {"a0.jpg": b"\xff\xd8\xff no picture", "a1.jpg": versions["a1.jpg"], "b.txt.jpg": b"no picture"}
    folder = folder_of(tmp_path / "in", chosen)
    fates = {item.source: item.fate for item in job(Scripted()).plan(folder)}
    assert fates == {"a0.jpg": "refuse", "a1.jpg": "send", "b.txt.jpg": "refuse"}
    results = run(job(Scripted()), folder)
    assert [results[name].outcome for name in sorted(results)] == [
        Outcome.FAILED,
        Outcome.DONE,
        Outcome.FAILED,
    ]
    failure = results["b.txt.jpg"].failure
    assert failure is not None
    assert failure.code == "not_an_image"


def test_a_job_without_the_option_loads_no_network(tmp_path: Path, versions: dict[str, bytes]) -> None:
    folder = folder_of(tmp_path / "in", {"a.jpg": versions["a1.jpg"]})
    script = (
        "import sys\n"
        "from tests.pipeline.answering import Scripted\n"
        "from visionpipe.pipeline.pipeline import Pipeline\n"
        "job = Pipeline('What?', answerer=Scripted(), model='m')\n"
        f"assert len(list(job.run({str(folder)!r}))) == 1\n"
        "print(*(m for m in ('cv2', 'numpy', 'visionpipe.local') if m in sys.modules))"
    )
    root = SAMPLES.parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
