"""The main job through batch files, from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.commands import lines, visionpipe
from visionpipe.testing.images import image_bytes
from visionpipe.testing.sandbox import running_sandbox

MODEL = ["--model", "glm-4v-plus-0111"]


def photos(folder: Path) -> Path:
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(image_bytes("png", 8 + number, 8))
    return folder


def test_a_folder_through_batch_files(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in")
    with running_sandbox(task_polls=0) as sandbox:
        command: list[str | Path] = ["caption", folder, "-o", "out.jsonl", "--via", "batch", *MODEL]
        command += ["--base-url", f"bigmodel+{sandbox.base_url}"]
        env = {"VISIONPIPE_API_KEY": sandbox.key}
        done = visionpipe(*command, folder=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        again = visionpipe(*command, folder=tmp_path, env=env)
        assert again.returncode == 0, again.stderr
        paths = [record["path"] for record in sandbox.log()]
    found = lines(tmp_path / "out.jsonl")
    assert {name: line["outcome"] for name, line in found.items()} == {f"{n}.png": "done" for n in range(5)}
    assert found["0.png"]["caption"].startswith("I see 1 image: png 8x8")
    assert "batch file of 5 requests: uploaded" in done.stderr
    assert "5 items: 5 done" in done.stderr
    assert "kept from earlier runs: 5" in again.stderr
    assert paths.count("/api/paas/v4/batches") == 1
    assert not [path for path in paths if path.endswith("/chat/completions")]


def test_what_a_batch_does_not_know(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in")
    env = {"VISIONPIPE_API_KEY": "0123456789abcdef.s3cr3tS3cr3t"}
    gateway = ["--base-url", "bigmodel+http://127.0.0.1:9/v4", *MODEL]
    for options, said in (
        (["--via", "pigeon", *gateway], "Use calls or batch"),
        (["--via", "batch", "--rpm", "3", *gateway], "--rpm: a batch file knows no such option"),
        (["--via", "batch"], "no batch files"),
    ):
        done = visionpipe("caption", folder, "-o", "out.jsonl", *options, folder=tmp_path, env=env)
        assert done.returncode in (1, 2)
        assert said in done.stderr
    assert not (tmp_path / "out.jsonl.journal").exists()


def test_a_model_that_is_in_no_batch_files_is_refused_before_an_upload(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in")
    with running_sandbox(task_polls=0) as sandbox:
        env = {"VISIONPIPE_API_KEY": sandbox.key}
        where = ["--base-url", f"bigmodel+{sandbox.base_url}", "--via", "batch"]
        commands: list[list[str | Path]] = [["caption", folder, "-o", "out.jsonl"], ["check", folder]]
        for command in commands:
            done = visionpipe(*command, *where, "--model", "glm-4.6v", folder=tmp_path, env=env)
            assert done.returncode == 1
            assert "glm-4.6v: this model has no batch files" in done.stderr
            assert "glm-4v-plus-0111, glm-4v-plus, glm-4v, glm-5v-turbo" in done.stderr
        able = visionpipe("check", folder, *where, *MODEL, folder=tmp_path, env=env)
        assert able.returncode == 0, able.stderr
        assert sandbox.log() == []
