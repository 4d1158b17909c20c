"""The guide to several machines keeps its word: its scripts and manifests run, with a folder in the bucket's
place and a service on loopback. Ray and Daft are too large for this environment: ``scripts/engines.py`` runs
theirs.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from tests.cli.commands import environment
from tests.test_documents import DOCS, blocks
from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import Parts
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

GUIDE = DOCS / "guides" / "beyond-one-machine.md"
SHARDS, IMAGES = 4, 5
REDIS, SLURM, FLEET = blocks(GUIDE, "bash")
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all(blocks(GUIDE, "yaml")[0]))


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """In the place of the guide's bucket, with its shards."""
    shards = tmp_path / "bucket" / "shards"
    shards.mkdir(parents=True)
    for shard in range(SHARDS):
        with tarfile.open(shards / f"{shard:03}.tar", mode="w") as archive:
            for number in range(IMAGES):
                data = jpeg_bytes(16 + shard, 16 + number)
                info = tarfile.TarInfo(f"{number:03}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return tmp_path / "bucket"


@pytest.fixture
def sandbox() -> Iterator[SandboxHandle]:
    with running_sandbox() as made:
        yield made


@pytest.fixture
def shell(sandbox: SandboxHandle) -> dict[str, str]:
    """Environment of somebody with the service's key."""
    return environment(
        {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "VISIONPIPE_BASE_URL": sandbox.base_url,
            "VISIONPIPE_API_KEY": sandbox.key,
            "VISIONPIPE_MODEL": "glm-4.6v",
        }
    )


def begin(command: list[str], bucket: Path, shell: dict[str, str]) -> subprocess.Popen[str]:
    here = [argument.replace("s3://my-bucket", str(bucket)) for argument in command]
    return subprocess.Popen(
        here, cwd=bucket.parent, env=shell, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def ended_well(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said


def results(bucket: Path) -> Counter[str]:
    """How often each item is in the directory of parts."""
    parts = Parts(open_store(f"{bucket}/out/"))
    return Counter(result.source for result in parts.results() if result.outcome == "done")


def of_shard(bucket: Path, number: int) -> set[str]:
    return {f"{bucket}/shards/{number:03}.tar/{image:03}.jpg" for image in range(IMAGES)}


def without_gate(text: str) -> str:
    return re.sub(r"^export VISIONPIPE_GATE=.*\n", "", text, flags=re.MULTILINE)


def test_the_slurm_array_does_every_item_once(bucket: Path, shell: dict[str, str]) -> None:
    directives = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", SLURM, re.MULTILINE))
    assert re.fullmatch(r"0-\d+", directives["array"]), "an array without gaps"
    assert SLURM.startswith("#!/bin/bash\n#SBATCH "), "sbatch reads no directive after the first command"
    # As by "sbatch --array=0-1", which takes less time here.
    first, last = 0, 1
    told = {"MIN": first, "MAX": last, "COUNT": last - first + 1}
    array = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in told.items()}
    ended_well(
        *[
            begin(
                ["bash", "-euc", without_gate(SLURM)],
                bucket,
                shell | array | {"SLURM_ARRAY_TASK_ID": str(task)},
            )
            for task in range(first, last + 1)
        ]
    )
    assert results(bucket) == Counter(
        {name: 1 for shard in range(SHARDS) for name in of_shard(bucket, shard)}
    )


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_the_manifests_are_what_kubernetes_takes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_indexed_job_goes_with_the_command() -> None:
    (job,) = (each for each in MANIFESTS if each["kind"] == "Job")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert spec["completionMode"] == "Indexed"
    assert told["VISIONPIPE_SHARDS"] == str(spec["completions"])
    # What the API server refuses, and no schema says.
    assert pod["restartPolicy"] == "Never", "a policy of failures, or a limit for each index, wants it"
    actions = {rule["action"] for rule in spec["podFailurePolicy"]["rules"]}
    assert actions <= {"Ignore", "FailIndex", "FailJob", "Count"}
    assert "FailIndex" not in actions or "backoffLimitPerIndex" in spec
    (service,) = (each for each in MANIFESTS if each["kind"] == "Service")
    (deployment,) = (each for each in MANIFESTS if each["kind"] == "Deployment")
    host, port = re.fullmatch(r"redis://([\w-]+):(\d+)/0", told["VISIONPIPE_GATE"]).groups()  # type: ignore[union-attr]  # no match fails the test
    assert host == service["metadata"]["name"] and int(port) == service["spec"]["ports"][0]["port"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels


def test_a_pod_does_the_shard_of_its_index(bucket: Path, shell: dict[str, str]) -> None:
    (job,) = (each for each in MANIFESTS if each["kind"] == "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"] if each["name"] != "VISIONPIPE_GATE"}
    pod = begin(["visionpipe", *container["args"]], bucket, shell | told | {"JOB_COMPLETION_INDEX": "2"})
    ended_well(pod)
    assert set(results(bucket)) == of_shard(bucket, 2)


def test_the_fleet_shares_the_work(bucket: Path, shell: dict[str, str]) -> None:
    urls = re.findall(r"vllm\+(http://\S+)", FLEET)
    key = {"VLLM_API_KEY": shell["VISIONPIPE_API_KEY"]}
    with ExitStack() as ends:
        fleet = [ends.enter_context(running_sandbox(lenient=True, models=(_model(),))) for _ in urls]
        text = FLEET
        for url, server in zip(urls, fleet, strict=True):
            server.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": 0.1}}]})
            text = text.replace(url, server.openai_url)
        ended_well(begin(["bash", "-euc", text], bucket, shell | key))
        asked = [server.stats()["requests"] for server in fleet]
    assert len(results(bucket)) == sum(asked) == SHARDS * IMAGES
    assert all(asked)


def _model() -> str:
    found = re.search(r"--model (\S+)", FLEET)
    assert found is not None
    return found[1]


@pytest.mark.system
def test_four_processes_share_a_gate_in_redis(bucket: Path, shell: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        text = REDIS.replace("6379", str(free.getsockname()[1]))
    ended_well(begin(["bash", "-euc", text], bucket, shell))
    assert results(bucket) == Counter(
        {name: 1 for shard in range(SHARDS) for name in of_shard(bucket, shard)}
    )
    assert (bucket.parent / "captions.parquet").exists()


def test_the_code_for_the_engines_is_python() -> None:
    for text in blocks(GUIDE, "py"):
        compile(text, GUIDE.name, "exec")
