"""Several processes on one job: refusals, places used, a kill, one cap, and the ledger at a million rows.

python -m benchmarks.beyond_one_machine gate     # 4 processes, limit 6, 200 images; needs redis-server
python -m benchmarks.beyond_one_machine kill     # the same, and one of the four is killed
python -m benchmarks.beyond_one_machine cap      # one cap of tokens for all
python -m benchmarks.beyond_one_machine ledger   # a million rows in 1,000 parts: start, look-up, merge
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.pipeline.limit_drill import read_spans
from tests.redis_server import serving_redis
from visionpipe.pipeline.redis_gate import gate_states
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import running_sandbox

IMAGES, PROCESSES, LIMIT, LATENCY = 200, 4, 6, 0.4


def shards(folder: Path) -> str:
    for shard in range(PROCESSES):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for number in range(IMAGES // PROCESSES):
                data = jpeg_bytes(16 + shard, 16 + number)
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return f"{folder}/{{0..{PROCESSES - 1}}}.tar"


def drill(what: str) -> None:
    with tempfile.TemporaryDirectory() as name, serving_redis() as redis:
        folder, log = Path(name), Path(name, "requests.jsonl")
        sources, out = shards(folder), f"{name}/out/"
        with running_sandbox(answers="saw", log=log) as sandbox:
            sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": LATENCY}}]})
            sandbox.set_limits(per_model=LIMIT)
            environment = {
                **os.environ,
                "VISIONPIPE_API_KEY": sandbox.key,
                "VISIONPIPE_BASE_URL": sandbox.base_url,
            }
            command = [sys.executable, "-m", "visionpipe", "caption", sources, "-o", out, "-q"]
            command += ["--model", "glm-4.6v", "--gate", redis.url, "--concurrency", "16"]
            if what == "cap":
                command += ["--budget-tokens", "12000"]
            running = [
                subprocess.Popen([*command, "--shard", f"{number}/{PROCESSES}"], env=environment)
                for number in range(PROCESSES)
            ]
            if what == "kill":
                while sandbox.stats()["requests"] < IMAGES // 4:
                    time.sleep(0.05)
                running[0].kill()
                killed = time.time()
            for process in running:
                process.wait()
            stats = sandbox.stats()
            (state,) = gate_states(redis.url).values()
        spans = read_spans(log)
        good = [span for span in spans if not span.refused]
        refused = len(spans) - len(good)
        # From when all four have begun until the first has nothing left, which is when places can be used.
        begun, ended = min(span.begun for span in good), max(span.ended for span in good)
        used = sum(span.ended - span.begun for span in good) / (LIMIT * (ended - begun))
        print(f"{what}: {len(good)} answers, {refused} refused ({100 * refused / len(spans):.1f} %)")
        print(f"  {100 * used:.0f} % of {LIMIT} places used in {ended - begun:.1f} s, ramp and tail included")
        print(f"  gate: {state.spent.tokens} tokens spent, {state.busy} under way, level {state.level}")
        if what == "kill":
            later = [span for span in good if span.begun > killed + 7]
            if later:
                seconds = max(span.ended for span in later) - killed - 7
                share = sum(span.ended - span.begun for span in later) / (LIMIT * seconds)
                print(f"  7 s after the kill the others use {100 * share:.0f} % of the places")
        if what == "cap":
            print(f"  the cap of 12,000 tokens was used to {100 * state.spent.tokens / 12_000:.1f} %")
        assert stats["requests"] == len(spans)


def ledger() -> None:
    from datetime import UTC, datetime

    import pyarrow as pa

    from visionpipe.files.stores import open_store
    from visionpipe.pipeline.parts import SCHEMA, Parts, _parquet, id_of
    from visionpipe.pipeline.rows import to_struct
    from visionpipe.results import ItemResult, Outcome

    with tempfile.TemporaryDirectory() as name:
        store = open_store(f"{name}/out/")
        result = to_struct(ItemResult("x", Outcome.DONE, caption="A cat on a mat, seen from above."))
        at = datetime.now(UTC)
        for part in range(1000):
            keys = [f"shard-{part:04}.tar/{number}.jpg" for number in range(1000)]
            row = {"question": "q", "content": "c", "final": True, "at": at, "job": "j", "run": "w"}
            rows = [
                {"id": id_of(key, "q"), "key": key, "result": result, "requests": 1, **row} for key in keys
            ]
            store.put(f"parts/w/{part:06}.parquet", _parquet(pa.Table.from_pylist(rows, SCHEMA)))
        script = (
            "import resource,time,sys; from visionpipe.files.stores import open_store;"
            "from visionpipe.pipeline.parts import Parts, id_of;"
            "m=lambda: int(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])/1024;"
            "p=Parts(open_store(sys.argv[1])); a=m(); c=time.process_time(); i=p.index();"
            "print(f'  start: {len(i):,} ids, {m()-a:.0f} MB added, {time.process_time()-c:.1f} s CPU');"
            "c=time.process_time();"
            "[i.place(id_of(f'shard-{n%1000:04}.tar/{n%997}.jpg','q')) for n in range(100000)];"
            "print(f'  look-up: {(time.process_time()-c)*10:.1f} us')"
        )
        print("ledger: 1,000,000 rows in 1,000 parts")
        subprocess.run([sys.executable, "-c", script, f"{name}/out/"], check=True)
        script = (
            "import resource,time,sys; from visionpipe.files.stores import open_store;"
            "from visionpipe.pipeline.parts import Parts;"
            "c=time.time(); d=Parts(open_store(sys.argv[1])).merge();"
            "print(f'  merge: {d.rows:,} rows in {d.parts} parts, {time.time()-c:.0f} s, peak',"
            "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024, 'MB')"
        )
        subprocess.run([sys.executable, "-c", script, f"{name}/out/"], check=True)
        assert len(Parts(store).index()) == 1_000_000


if __name__ == "__main__":
    if sys.argv[1] == "ledger":
        ledger()
    else:
        drill(sys.argv[1])
