"""Four processes behind one gate in Redis: refusals, places used, a kill, one cap, an outage, its cost.

python -m benchmarks.shared_gate gate      # limit 6, 200 images
python -m benchmarks.shared_gate kill      # 600 images, and one of the four is killed
python -m benchmarks.shared_gate cap       # one cap of tokens for all
python -m benchmarks.shared_gate cap-kill  # the same, and one of the four is killed
python -m benchmarks.shared_gate away      # the gate's server is away for 10 s
python -m benchmarks.shared_gate trips     # what the gate itself costs: trips and CPU an item

They need redis-server. Places used are a figure of a quiet machine: whatever else uses its processors
lengthens the time between an answer and the next request.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.pipeline.limit_drill import Span, read_spans
from tests.redis_server import serving_redis
from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import Parts
from visionpipe.pipeline.redis_gate import gate_states
from visionpipe.results import Outcome
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import running_sandbox

IMAGES, PROCESSES, LIMIT, LATENCY = 200, 4, 6, 0.4
CAP, AWAY_S = 12_000, 10.0


def shards(folder: Path, images: int) -> str:
    for shard in range(PROCESSES):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for number in range(images // PROCESSES):
                data = jpeg_bytes(16 + shard, 16 + number)
                info = tarfile.TarInfo(f"{number}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return f"{folder}/{{0..{PROCESSES - 1}}}.tar"


@dataclass(frozen=True)
class Killed:
    """One of the processes was killed ``at`` a moment; its ``places`` were free again ``back_s`` later."""

    at: float
    places: int
    back_s: float


def kill(process: subprocess.Popen[bytes], server: redis.Redis[bytes]) -> Killed:
    """Kills a process, and waits until the gate has its leases back."""
    (key,) = (name for name in server.scan_iter("visionpipe:{*}") if name.endswith(b"}"))
    assert isinstance(key, bytes)
    holders = set(server.zrange(key + b":holders", 0, -1))
    process.kill()
    at = time.time()
    process.wait()
    held = {name: int(count) for name, count in server.hgetall(key + b":held").items()}
    while not (lost := holders - set(server.zrange(key + b":holders", 0, -1))):
        time.sleep(0.02)
    return Killed(at, sum(held.get(name, 0) for name in lost), time.time() - at)


def drill(what: str) -> None:
    images = IMAGES if what in ("gate", "cap") else 3 * IMAGES
    with tempfile.TemporaryDirectory() as name, serving_redis() as server:
        folder, log = Path(name), Path(name, "requests.jsonl")
        sources, out = shards(folder, images), f"{name}/out/"
        killed: Killed | None = None
        gone = back = 0.0
        with running_sandbox(answers="saw", log=log) as sandbox, redis.Redis.from_url(server.url) as client:
            sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": LATENCY}}]})
            sandbox.set_limits(per_model=LIMIT)
            environment = {
                **os.environ,
                "VISIONPIPE_API_KEY": sandbox.key,
                "VISIONPIPE_BASE_URL": sandbox.base_url,
            }
            command = [sys.executable, "-m", "visionpipe", "caption", sources, "-o", out, "-q"]
            command += ["--model", "glm-4.6v", "--gate", server.url, "--concurrency", "16"]
            if what.startswith("cap"):
                command += ["--budget-tokens", str(CAP)]
            running = [
                subprocess.Popen([*command, "--shard", f"{number}/{PROCESSES}"], env=environment)
                for number in range(PROCESSES)
            ]
            while sandbox.stats()["requests"] < IMAGES // 4:
                time.sleep(0.05)
            if what.endswith("kill"):
                killed = kill(running[0], client)
            if what == "away":
                server.stop()
                gone = time.time()
                time.sleep(AWAY_S)
                back = time.time()
                server.start()
            while all(process.poll() is None for process in running[1:]):
                time.sleep(0.02)
            # From here on somebody has nothing left, and places may stay free.
            until = time.time()
            for process in running:
                process.wait()
            (state,) = gate_states(server.url).values()
        spans = read_spans(log)
        good = [span for span in spans if not span.refused]
        refused = len(spans) - len(good)
        begun, ended = min(span.begun for span in good), max(span.ended for span in good)
        results = list(Parts(open_store(out)).results())
        done = sum(result.outcome is Outcome.DONE for result in results)
        print(f"{what}: {len(good)} answers, {refused} refused ({100 * refused / len(spans):.1f} %)")
        print(f"  {done} of {images} images done, {len({result.source for result in results})} on record")
        share = used(good, begun, ended) / (LIMIT * (ended - begun))
        print(
            f"  {100 * share:.0f} % of {LIMIT} places used in {ended - begun:.1f} s, ramp and tail included"
        )
        print(f"  gate: {state.spent.tokens} tokens spent, {state.busy} under way, level {state.level}")
        if killed is not None:
            most = LIMIT * (until - killed.at) - killed.places * killed.back_s
            print(f"  of the killed one {killed.places} places were back after {killed.back_s:.2f} s")
            if what == "kill":
                share = used(good, killed.at, until) / most
                print(f"  the others used {100 * share:.0f} % of what its places left them")
        if what.startswith("cap"):
            each = max(result.usage.total_tokens for result in results if result.usage is not None)
            print(
                f"  of the cap of {CAP} tokens {100 * state.spent.tokens / CAP:.1f} % are spent; the service"
            )
            print(f"  answered {len(good)} requests of at most {each} tokens, {len(good) * each} in all")
        if what == "away":
            late = [span.begun - gone for span in spans if gone <= span.begun < back]
            print(f"  in the {back - gone:.1f} s without the gate {len(late)} requests were begun", late[:8])


def used(spans: Sequence[Span], since: float, until: float) -> float:
    """Seconds of places that were in use between two moments."""
    return sum(max(0.0, min(span.ended, until) - max(span.begun, since)) for span in spans)


def trips() -> None:
    """Four processes of 16 threads each that hold every lease for 0.1 s: what the gate itself costs."""
    with serving_redis() as server:
        running = [
            subprocess.Popen(
                [sys.executable, "-c", _TRIPS, server.url, str(IMAGES)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(PROCESSES)
        ]
        told = [process.communicate()[0].split() for process in running]
    count = PROCESSES * IMAGES
    total, cpu, bare = (sum(float(row[column]) for row in told) for column in range(3))
    print(f"trips: {count} items, {total / count:.2f} trips an item")
    print(
        f"  {1000 * (cpu - bare) / count:.2f} ms of client CPU an item, {1000 * cpu / count:.2f} with threads"
    )


_TRIPS = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from visionpipe.pipeline.gate import Bill
from visionpipe.pipeline.redis_gate import RedisGate
count = int(sys.argv[2])
def spent(work):
    begun = time.process_time()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(count)))
    return time.process_time() - begun
gate = RedisGate(sys.argv[1], "trips", job="j", ceiling=6, start=6)
def item(number):
    lease = gate.acquire(100)
    time.sleep(0.1)
    gate.release(lease, "ok", bill=Bill(90))
cpu, trips = spent(item), gate.trips
gate.close()
# The same threads, which wait for a place of their own process.
places = threading.Semaphore(2)
def bare(number):
    with places:
        time.sleep(0.1)
print(trips, cpu, spent(bare))
"""


if __name__ == "__main__":
    trips() if sys.argv[1] == "trips" else drill(sys.argv[1])
