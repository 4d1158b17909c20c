"""Ray Data and Daft caption rows at the sandbox: every row once, one limit for all, and the same results as a
worker of this library gives; and what the guide shows of them runs, against a bucket on loopback.

They are large, so they live in an environment of their own:

    uv venv /tmp/engines
    uv pip install --python /tmp/engines/bin/python -e ".[ray,daft,redis,cloud]"
    python scripts/engines.py /tmp/engines/bin/python
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.redis_server import serving_redis
from tests.s3_store import new_store, serving_s3
from tests.test_documents import DOCS, blocks
from visionpipe.files.stores import open_store
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import running_sandbox

ROOT = Path(__file__).resolve().parent.parent
IMAGES = 100
ENGINES = """
import json, sys, pyarrow as pa, visionpipe as vp
engine, gate, out, told = sys.argv[1:]
from PIL import Image
import io
def picture(n):
    out = io.BytesIO(); Image.new("RGB", (16 + n, 16)).save(out, "JPEG"); return out.getvalue()
rows = [{"path": f"{n:03}.jpg", "bytes": picture(n)} for n in range(100)]
rows.append({"path": "broken.jpg", "bytes": b"no picture"})
job = vp.Job("What is it?", model="glm-4.6v")
if engine == "worker":
    from visionpipe.pipeline.rows import to_struct
    with job.open(concurrency=8, ledger=out) as worker:
        results = list(worker.map(vp.Item(row["path"], row["bytes"]) for row in rows))
    done = [{"path": result.source, "caption": to_struct(result)} for result in results]
elif engine == "ray":
    import ray
    from visionpipe.adapters import ray as adapter
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    frame = ray.data.from_items(rows)
    done = adapter.caption(frame, job, actors=2, concurrency=8, ledger=out).take_all()
else:
    import daft
    from visionpipe.adapters import daft as adapter
    frame = daft.from_pylist(rows)
    done = adapter.caption(frame, job, image="bytes", key="path", gate=gate, processes=2, concurrency=8,
                           ledger=out).to_pylist()
ends = {}
for row in done:
    ends.setdefault(row["caption"]["outcome"], set()).add(row["path"])
assert len(done) == 101, len(done)
assert len(ends["done"]) == 100 and ends["failed"] == {"broken.jpg"}, ends
assert all(row["caption"]["caption"] for row in done if row["path"] != "broken.jpg")
for row in done:
    # Attempts count the refusals that an item met, which are the limit's affair.
    row["caption"] |= {"seconds": None, "request_id": None, "attempts": None}
found = {row["path"]: row["caption"] for row in done}
with open(told, "w") as file:
    json.dump(found, file, sort_keys=True, default=lambda cost: format(cost.normalize(), "f"))
"""


def guide(python: str) -> None:
    """The guide's own blocks, with the addresses of what runs here."""
    on_ray, on_daft = blocks(DOCS / "guides" / "beyond-one-machine.md", "py")
    pictures = {f"{number:03}": jpeg_bytes(16 + number, 20) for number in range(12)}
    with (
        TemporaryDirectory() as name,
        serving_redis() as redis,
        serving_s3() as endpoint,
        new_store(endpoint, "my-bucket") as bucket,
        running_sandbox(answers="saw") as sandbox,
    ):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for key, data in pictures.items():
                info = tarfile.TarInfo(f"{key}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        open_store("s3://my-bucket/shards/", bucket.options).put("000.tar", out.getvalue())
        rows = [{"id": key, "image": {"bytes": data, "path": f"{key}.jpg"}} for key, data in pictures.items()]
        pq.write_table(pa.Table.from_pylist(rows), f"{name}/set.parquet")
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "VISIONPIPE_API_KEY": sandbox.key,
            "VISIONPIPE_BASE_URL": sandbox.base_url,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": bucket.options["key"],
            "AWS_SECRET_ACCESS_KEY": bucket.options["secret"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "DO_NOT_TRACK": "1",
        }
        here = on_daft.replace("hf://datasets/org/set/data/", f"{name}/").replace(
            "redis://localhost:6379/0", redis.url
        )
        for engine, text in (("ray", on_ray), ("daft", here)):
            asked = sandbox.stats()["requests"]
            subprocess.run(
                [python, "-W", "error::DeprecationWarning:__main__", "-c", text],
                cwd=name,
                env=environment,
                check=True,
                timeout=300,
            )
            print(f"the guide's {engine}: {sandbox.stats()['requests'] - asked} requests")
            assert sandbox.stats()["requests"] - asked == len(pictures)
        written = open_store("s3://my-bucket/captions/", bucket.options)
        parts = [pq.read_table(io.BytesIO(written.read(each.name))) for each in written.find()]
        parts += [pq.read_table(path) for path in Path(name, "captions").glob("*.parquet")]
        ends = [row["caption"]["outcome"] for part in parts for row in part.to_pylist()]
        assert ends == ["done"] * 2 * len(pictures), ends


def main() -> None:
    python = sys.argv[1]
    guide(python)
    found: dict[str, Any] = {}
    for engine in ("worker", "ray", "daft"):
        with serving_redis() as redis, running_sandbox(answers="saw") as sandbox:
            sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": 0.1}}]})
            sandbox.set_limits(per_model=6)
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "VISIONPIPE_API_KEY": sandbox.key,
                "VISIONPIPE_BASE_URL": sandbox.base_url,
                "RAY_USAGE_STATS_ENABLED": "0",
                "DO_NOT_TRACK": "1",
            }
            begun = time.monotonic()
            out, told = f"{redis.folder}/{engine}/", Path(redis.folder, f"{engine}.json")
            command = [python, "-c", ENGINES, engine, redis.url, out, str(told)]
            subprocess.run(command, env=environment, check=True, timeout=300)
            found[engine] = json.loads(told.read_text())
            stats = sandbox.stats()
            refused = stats["per_code"].get("1302", 0)
            seconds = time.monotonic() - begun
            print(
                f"{engine}: {IMAGES} rows once, {stats['requests']} requests, {refused} refused, "
                f"{seconds:.0f} s"
            )
            assert stats["requests"] - refused == IMAGES
            assert refused <= 8
    assert found["worker"] == found["ray"] == found["daft"]
    print(f"{IMAGES} results and one failure are the same, but for times, ids and tries, from all three")


if __name__ == "__main__":
    main()
