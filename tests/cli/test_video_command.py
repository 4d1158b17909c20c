"""The video command with the embedded engine: what a user types, and what is then there."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.cli.commands import KEYS
from tests.clip_maker import texture, write_clip
from tests.loopback import Answer, serving
from visionpipe.cli.video import video
from visionpipe.errors import BadVideoError, FetchError, OutputError, ParameterError, UnreadableSourceError
from visionpipe.testing.sandbox import running_sandbox
from visionpipe.video.timeline import Timeline

app = typer.Typer()
app.command()(video)


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    found = CliRunner().invoke(app, [str(a) for a in arguments], env=dict.fromkeys(KEYS) | (env or {}))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        write_clip(tmp_path / "clips" / f"{name}.mp4", [texture(i // 25, (128, 96)) for i in range(50)])
    return tmp_path


def test_one_clip_into_files_of_every_kind(folder: Path) -> None:
    out = folder / "out"
    wanted = [a for kind in ("srt", "vtt", "html", "md", "csv", "json") for a in ("-o", out / f"x.{kind}")]
    done = run(folder / "clips" / "a.mp4", *wanted)
    assert done.exit_code == 0
    assert "0:00:01.000 - 0:00:02.000" in done.stdout
    assert "(local analysis)" in done.stdout
    assert "1 clip: 1 done, 0 failed" in done.stderr
    timeline = Timeline.from_json(json.loads((out / "x.json").read_text("utf-8")))
    assert timeline.local
    assert timeline.spans[0].start.pts == 0
    assert timeline.spans[-1].end == timeline.duration
    assert all(a.end == b.start for a, b in pairwise(timeline.spans))
    assert (out / "x.srt").read_text("utf-8").startswith("1\n00:00:00,000 --> 00:00:01,000\n")
    assert (out / "x.vtt").read_text("utf-8").startswith("WEBVTT\n")
    assert (out / "x.html").read_text("utf-8").count("<img ") == 2
    assert len((out / "x.csv").read_text("utf-8").splitlines()) == 3
    assert "| 0:00:01.000 |" in (out / "x.md").read_text("utf-8")


def test_a_timeline_that_somebody_edited_is_kept(folder: Path) -> None:
    """One clip's is refused before anything is asked; of several clips the others go on."""
    clip, out = folder / "clips" / "a.mp4", folder / "out" / "a.srt"
    command = (clip, "-o", out)
    assert run(*command).exit_code == 0
    assert run(*command).exit_code == 0, "it is ours"
    written = out.read_text()
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"somebody changed it since a job wrote it.*--existing overwrite"):
        run(*command)
    several = run(folder / "clips", "-o", f"srt:{folder / 'out'}", "-o", f"vtt:{folder / 'out'}")
    assert several.exit_code == 0
    assert "kept: 1 sidecar that somebody else wrote or edited" in several.stderr
    assert out.read_text() == "mine"
    assert {path.name for path in out.parent.glob("*.*t")} == {"a.srt", "a.vtt", "b.srt", "b.vtt"}
    forced = run(*command, "--existing", "overwrite")
    assert forced.exit_code == 0
    assert (out.read_text(), (out.parent / "a.srt.~1~").read_text()) == (written, "mine")
    other = folder / "other.md"
    other.write_text("# My notes\n")
    with pytest.raises(OutputError, match="no job of visionpipe made it"):
        run(clip, "-o", other)
    assert other.read_text() == "# My notes\n"
    (folder / "moved").mkdir()
    (folder / "out").rename(folder / "moved" / "out")
    assert run(clip, "-o", folder / "moved" / "out" / "a.srt").exit_code == 0, "ours, with its journal"


def test_a_folder_into_a_folder_with_one_bad_clip(folder: Path) -> None:
    (folder / "clips" / "c.mp4").write_bytes(b"")
    done = run(folder / "clips", "-o", f"srt:{folder}/out", "--no-summary")
    assert done.exit_code == 1
    assert sorted(p.name for p in (folder / "out").glob("*.srt")) == ["a.srt", "b.srt"]
    assert "c.mp4: the file is empty" in done.stderr
    assert "3 clips: 2 done, 1 failed" in done.stderr


def test_what_cannot_be_meant(folder: Path) -> None:
    clips = folder / "clips"
    with pytest.raises(ParameterError, match="Name a folder"):
        run(clips, "-o", folder / "x.srt")
    (clips / "sub").mkdir()
    write_clip(clips / "sub" / "a.mp4", [texture(1)] * 5)
    with pytest.raises(ParameterError, match="several clips are called a"):
        run(clips, "-o", f"srt:{folder}/out")
    (folder / "empty").mkdir()
    with pytest.raises(UnreadableSourceError, match="no clip in this folder"):
        run(folder / "empty")
    (folder / "bad.mp4").write_text("this is no video at all")
    with pytest.raises(BadVideoError):
        run(folder / "bad.mp4")


def test_a_question_instead_of_scenes(folder: Path) -> None:
    done = run(folder / "clips", "--ask", "What is it?")
    assert done.exit_code == 0
    assert done.stdout.count("(local analysis)") == 2
    assert "2 clips: 2 done" in done.stderr
    with pytest.raises(ParameterError, match="no timeline"):
        run(folder / "clips", "--ask", "What is it?", "-o", f"srt:{folder}/out")


def test_published_clips_reach_the_service_as_links(folder: Path) -> None:
    clips = folder / "clips"
    with running_sandbox() as sandbox:
        to = ["--base-url", f"bigmodel+{sandbox.base_url}", "--model", "glm-4.6v", "--no-summary"]
        key = {"VISIONPIPE_API_KEY": sandbox.key}
        done = run(clips, *to, "--publish", f"{clips}=https://clips.example/x", env=key)
        links = [item["link"] for record in sandbox.log() for item in record["media"] if item["link"]]
    assert done.exit_code == 0
    assert links == ["https://clips.example/x/a.mp4", "https://clips.example/x/b.mp4"]
    with pytest.raises(ParameterError, match="no place to publish at"):
        run(clips, "--publish", "https://clips.example/x")


def test_links_file_urls_and_folders_are_taken_together(folder: Path) -> None:
    data = (folder / "clips" / "a.mp4").read_bytes()
    out = folder / "out"
    with serving(Answer(body=data)) as server:
        link = f"{server.url}/v/linked%20clip.mp4?token=secret"
        local = (folder / "clips" / "a.mp4").as_uri()
        done = run(
            link,
            local,
            "--allow-private",
            "-o",
            f"srt:{out}",
            "-o",
            f"json:{out}",
            "-o",
            f"html:{out}",
            "--no-summary",
        )
        assert [seen.method for seen in server.requests] == ["GET"]
    assert done.exit_code == 0
    assert sorted(p.name for p in out.glob("*.srt")) == ["a.srt", "linked clip.srt"]
    told = json.loads((out / "linked clip.json").read_text("utf-8"))
    assert told["clip"].endswith("/v/linked%20clip.mp4")
    assert "secret" not in done.stdout + done.stderr + json.dumps(told)
    assert (out / "linked clip.html").read_text("utf-8").count("<img ") == 2
    assert (out / "linked clip.srt").read_text("utf-8") == (out / "a.srt").read_text("utf-8")


def test_bare_streams_of_a_folder_are_clips_too(tmp_path: Path) -> None:
    cases = Path(__file__).parent.parent / "clips" / "cases"
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("raw.h264", "av1.ivf"):
        shutil.copy(cases / name, clips)
    done = run(clips, "-o", f"json:{tmp_path / 'out'}", "--no-summary")
    assert done.exit_code == 0
    told = [json.loads(path.read_text("utf-8")) for path in sorted((tmp_path / "out").glob("*.json"))]
    assert [timeline["duration"]["seconds"] for timeline in told] == [6.0, 6.0]


def test_a_link_or_a_source_that_fails_costs_only_itself(folder: Path) -> None:
    (folder / "empty").mkdir()
    with serving(Answer(404)) as server:
        gone = f"{server.url}/gone.mp4"
        refused = "http://127.0.0.1:9/private.mp4"
        sources = (gone, refused, folder / "empty", "s3://bucket/a.mp4", folder / "no.mp4")
        done = run(*sources, folder / "clips" / "a.mp4", "--allow-private", "-o", f"srt:{folder / 'out'}")
    assert done.exit_code == 1
    assert [p.name for p in (folder / "out").glob("*.srt")] == ["a.srt"]
    assert done.stderr.count("failed: ") == 5
    assert "6 clips: 1 done, 5 failed" in done.stderr


def test_a_private_address_is_refused_unless_it_is_allowed(folder: Path) -> None:
    with serving(Answer(body=(folder / "clips" / "a.mp4").read_bytes())) as server:
        with pytest.raises(FetchError) as refused:
            run(f"{server.url}/a.mp4")
        assert server.requests == []
    assert refused.value.code == "refused_address"


def test_a_track_is_chosen() -> None:
    clip = Path(__file__).parents[1] / "clips" / "cases" / "thumbtrack.mp4"
    first = run(clip, "--track", "0", "--no-summary")
    assert "0:00:00.000 - 0:00:00.039" in first.stdout
    assert "0:00:06.000" in run(clip, "--no-summary").stdout
