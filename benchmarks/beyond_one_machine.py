"""Several processes on one job: limits, kills, the store, and the ledger at a million rows; and one
process on several servers.

python -m benchmarks.beyond_one_machine pool     # 3 servers, one killed at a third and back at two thirds
python -m benchmarks.beyond_one_machine stops    # 4 writers on S3, killed 20 times, and told to stop 20 times
python -m benchmarks.beyond_one_machine away     # their store is away for 30 s
python -m benchmarks.beyond_one_machine shards   # 100,000 samples of a tar and of Parquet: memory
python -m benchmarks.beyond_one_machine ledger   # a million rows, or so many: start, look-up, merge
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pipeline.limit_drill import read_spans
from tests.pipeline.parts_drill import make_shards, stop_and_go_on
from tests.s3_store import new_store, serving_s3
from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import Parts
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import running_sandbox

PROCESSES, LIMIT, LATENCY = 4, 6, 0.4


@contextmanager
def s3() -> Iterator[tuple[str, dict[str, str]]]:
    """The address of an empty bucket on loopback, and the environment in which it is enough."""
    with serving_s3() as endpoint, new_store(endpoint) as store:
        environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": endpoint}
        os.environ.update(environment)
        yield f"s3://{store.bucket}/out/", environment


def stops() -> None:
    with s3() as (address, environment):
        for how in (signal.SIGKILL, signal.SIGTERM):
            with tempfile.TemporaryDirectory() as name:
                found = stop_and_go_on(
                    Path(name),
                    f"{address}{how.name}/",
                    environment,
                    items=1_200,
                    writers=PROCESSES,
                    stops=20,
                    with_signal=how,
                    concurrency=8,
                    latency_s=0.5,
                )
            once = sum(count == 1 for count in found.done.values())
            print(
                f"{how.name} {found.stops} times: {once} of {found.items} items once in the merge, "
                f"{found.asked} requests, {found.asked_twice} asked twice (at most {found.stops * 8} for "
                f"kills); ended with {dict(found.statuses)}"
            )


def away() -> None:
    """The store's server is gone for 30 s; what was answered meanwhile is kept."""
    from moto.server import ThreadedMotoServer

    with s3() as (address, environment), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = ThreadedMotoServer(ip_address="127.0.0.1", port=0)  # buckets are those of this process
        first.start()
        host, port = first.get_host_and_port()
        environment["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
        sources, log = make_shards(folder, 400, 1), folder / "requests.jsonl"
        with running_sandbox(answers="saw", log=log) as sandbox:
            sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": LATENCY}}]})
            words = {"VISIONPIPE_API_KEY": sandbox.key, "VISIONPIPE_BASE_URL": sandbox.base_url}
            command = [sys.executable, "-m", "visionpipe", "caption", sources, "-o", address, "-q"]
            command += ["--model", "glm-4.6v", "--concurrency", "8"]
            process = subprocess.Popen(command, env={**os.environ, **environment, **words})
            while sandbox.stats()["requests"] < 100:
                time.sleep(0.05)
            first.stop()
            before = sandbox.stats()["requests"]
            time.sleep(30)
            meanwhile = sandbox.stats()["requests"] - before
            again = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
            again.start()
            status = process.wait()
            again.stop()
            requests = sandbox.stats()["requests"]
        stored = sum(1 for _ in Parts(open_store(address)).results())
        print(
            f"store away for 30 s: {stored} of 400 stored, {requests} requests, {meanwhile} of them "
            f"meanwhile, ended with {status}"
        )


def samples(count: int = 100_000) -> None:
    """Memory over the reading of ``count`` samples, from a fifth on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    photo = jpeg_bytes(640, 480)
    with tempfile.TemporaryDirectory() as name:
        made = pa.table({"image": [{"bytes": photo, "path": "a.jpg"}] * 1_000, "id": list(range(1_000))})
        plain = {"compression": "none", "use_dictionary": False}
        with pq.ParquetWriter(f"{name}/0.parquet", made.schema, **plain) as writer:
            for _ in range(count // 1_000):
                writer.write_table(made)
        with tarfile.open(f"{name}/0.tar", "w") as archive:
            for number in range(count):
                info = tarfile.TarInfo(f"{number:06}.jpg")
                info.size = len(photo)
                archive.addfile(info, io.BytesIO(photo))
                archive.members = []  # type: ignore[attr-defined]  # else the list grows with the tar
        for file in ("0.tar", "0.parquet"):
            subprocess.run([sys.executable, "-c", _READ, f"{name}/{file}", str(count)], check=True)


_READ = """
import os, sys, time
from visionpipe.sources.find import find_sources
def memory():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024
seen, begun, count = [], time.process_time(), int(sys.argv[2])
for number, found in enumerate(find_sources(sys.argv[1]), 1):
    assert len(found.image) > 1_000
    if number % (count // 100) == 0:
        seen.append(memory())
size = os.path.getsize(sys.argv[1]) >> 20
each = (time.process_time() - begun) * 1e3 / number
grown = max(seen[20:]) - max(seen[:20])
print(f"{sys.argv[1].rpartition('/')[2]}: {number:,} samples of {size} MB, {seen[0]:.0f} MB at first, "
      f"{max(seen):.0f} MB at most, {grown:.0f} MB more after the first fifth, {each:.2f} ms of CPU a sample")
"""


def ledger(rows: int) -> None:
    """A directory of ``rows`` results of 100 shards in 1,000 parts: start, look-up, merge."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-c", _MADE, f"{name}/out/", str(rows)], check=True)
        print(f"ledger: {rows:,} rows of 100 shards in 1,000 parts")
        for script in (_START, _MERGE, _START):
            subprocess.run([sys.executable, "-c", script, f"{name}/out/", str(rows)], check=True)


_MADE = """
import sys, uuid
from datetime import UTC, datetime
import pyarrow as pa
from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import SCHEMA, id_of, parquet_of
from visionpipe.pipeline.rows import to_struct
from visionpipe.results import ItemResult, Outcome
store, rows = open_store(sys.argv[1]), int(sys.argv[2])
size = rows // 1000
result = to_struct(ItemResult("x", Outcome.DONE, caption="A cat on a mat, seen from above."))
field = SCHEMA.field("result")
results = pa.array([result], field.type).take(pa.array([0] * size))
same = {"question": "q", "content": "c", "final": True, "at": datetime.now(UTC), "job": "j", "run": "w"}
for part in range(1000):
    keys = [f"shard-{part % 100:04}.tar/{part // 100 * size + n}.jpg" for n in range(size)]
    made = pa.Table.from_pylist(
        [{"id": id_of(key, "q", "c"), "key": key, "requests": 1, **same} for key in keys], SCHEMA
    )
    made = made.set_column(SCHEMA.get_field_index("result"), field, results)
    store.put(f"parts/w/{part:06}.parquet", parquet_of(made))
"""
_START = """
import sys, time
from visionpipe.files.stores import open_store
from visionpipe.pipeline.part_writer import PartsLedger
def memory(what="VmRSS"):
    return int(open("/proc/self/status").read().split(what + ":")[1].split()[0]) / 1024
warm = PartsLedger(sys.argv[1] + "none/"); warm.close()
before, cpu = memory(), time.process_time()
ledger = PartsLedger(sys.argv[1])
seconds, rows = time.process_time() - cpu, int(sys.argv[2])
added, most = memory() - before, memory("VmHWM") - before
print(f"  start: {added:.0f} MB added, {most:.0f} MB at most, {seconds:.1f} s CPU")
cpu = time.process_time()
for n in range(100_000):
    assert ledger.recorded(f"shard-{n % 100:04}.tar/new-{n}.jpg", "q") is None
print(f"  look-up of a new item: {(time.process_time() - cpu) * 10:.1f} us")
cpu = time.process_time()
for n in range(min(rows // 100, 10_000)):
    assert ledger.recorded(f"shard-0007.tar/{n}.jpg", "q", "c") is not None
each = (time.process_time() - cpu) * 1e6 / (n + 1)
print(f"  of one that is done, in the order of its shard: {each:.0f} us")
ledger.close()
"""
_MERGE = """
import resource, sys, time
from visionpipe.files.stores import open_store
from visionpipe.pipeline.parts import Parts
begun = time.time()
done = Parts(open_store(sys.argv[1])).merge()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"  merge: {done.rows:,} rows in {done.parts} parts, {time.time() - begun:.0f} s, peak {peak} MB")
assert done.rows == int(sys.argv[2])
"""


SERVERS, POOLED, POOL_LATENCY = 3, 1500, 0.25


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def pool() -> None:
    import visionpipe as vp

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        scenario = folder / "latency.toml"
        scenario.write_text(f'[[rule]]\nfault = {{kind = "latency", seconds = {POOL_LATENCY}}}\n')
        ports = [free_port() for _ in range(SERVERS)]

        def started(number: int) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "visionpipe", "sandbox", "--port", str(ports[number])]
            command += ["--answers", "saw", "--concurrency", str(LIMIT), "--scenario", str(scenario)]
            command += ["--key", "id.secret", "--log", str(folder / f"{number}.jsonl")]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            ends.callback(process.wait)
            ends.callback(process.kill)
            return process

        servers = [started(number) for number in range(SERVERS)]
        for port in ports:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
        urls = [f"bigmodel+http://127.0.0.1:{port}/api/paas/v4" for port in ports]
        images = (vp.Item(f"{n}.jpg", jpeg_bytes(16 + n % 50, 16 + n // 50)) for n in range(POOLED))
        results, moved, killed, back = [], 0, 0.0, 0.0
        client = ends.enter_context(vp.Client("glm-4.6v", base_url=urls, api_key="id.secret"))
        for result in vp.Pipeline("What is it?", client=client, concurrency=32).run(images):
            results.append(result)
            moved += any(note.kind == "moved" for note in result.notes)
            if len(results) == POOLED // 3:
                killed = time.time()
                servers[0].kill()
            if len(results) == 2 * POOLED // 3:
                back = time.time()
                servers[0] = started(0)
        done = sum(result.outcome == "done" for result in results)
        spans = [read_spans(folder / f"{number}.jsonl") for number in range(SERVERS)]
        good = [[span for span in each if not span.refused] for each in spans]
        begun = min(span.begun for each in good for span in each)
        ended = max(span.ended for each in good for span in each)
        answered = sum(map(len, good))
        refused = sum(map(len, spans)) - answered
        print(f"pool: {done} of {POOLED} done, {POOLED - len(results)} lost, {moved} moved to another server")
        print(f"  {answered} answers, {refused} refused ({100 * refused / (answered + refused):.1f} %)")
        first = min((span.begun for span in good[0] if span.begun > back), default=ended)
        print(f"  the killed one is asked again {first - back:.1f} s after it is started again")
        for words, start, end, up in (
            ("all three, ramp included", begun, killed, SERVERS),
            ("one killed", killed, back, SERVERS - 1),
            ("it is back, its start and the tail included", back, ended, SERVERS),
        ):
            serving = range(SERVERS) if up == SERVERS else range(1, SERVERS)
            used = sum(
                max(0.0, min(span.ended, end) - max(span.begun, start))
                for number in serving
                for span in good[number]
            )
            share = used / (up * LIMIT * (end - start))
            print(f"  {words}: {100 * share:.0f} % of the places in {end - start:.1f} s")
        assert done == len(results) == POOLED
        # An answer was paid twice only if it was on its way when its server was killed.
        assert answered <= POOLED + LIMIT


if __name__ == "__main__":
    alone = {"pool": pool, "stops": stops, "away": away, "shards": samples}
    if sys.argv[1] == "ledger":
        ledger(int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
    else:
        alone[sys.argv[1]]()
