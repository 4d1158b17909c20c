"""Ray Data and Daft caption rows at the sandbox: every row once, one limit for all, and the same results as a
worker of this library gives.

They are large, so they live in an environment of their own:

    uv venv /tmp/engines
    uv pip install --python /tmp/engines/bin/python -e ".[ray,daft,redis,parquet]"
    python scripts/engines.py /tmp/engines/bin/python
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.redis_server import serving_redis
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
    row["caption"] |= {"seconds": None, "request_id": None}
found = {row["path"]: row["caption"] for row in done}
with open(told, "w") as file:
    json.dump(found, file, sort_keys=True, default=lambda cost: format(cost.normalize(), "f"))
"""


def main() -> None:
    python = sys.argv[1]
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
    print(f"{IMAGES} results and one failure are the same, but for times and ids, from all three")


if __name__ == "__main__":
    main()
