"""What a stranger can do, tried from outside against the installed package: a line each, exit 1 if one hits.

    python benchmarks/attacks.py

It needs visionpipe-vlm[sandbox] alone, so it can be run by the interpreter of an environment that holds
nothing but the wheel; what is asked goes to servers of its own on this machine. SECURITY.md
says what is promised.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import visionpipe as vp
from visionpipe.testing.images import jpeg_bytes
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

PHOTOS = 40
DAMAGED = 60
ANSWER = json.dumps(
    {"model": "m", "choices": [{"message": {"content": "A cat."}, "finish_reason": "stop"}], "usage": {}}
).encode()
HEAD = b"HTTP/1.1 200 OK\r\n"
SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::1]",
    "[fe80::1%25lo]",
    "127.0.0.1.nip.invalid",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "user@127.0.0.1",
    "example.com@127.0.0.1",
    "127.0.0.1#@example.com",
    "127.0.0.1%00.example.com",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "[3fff::1]",
    "[2001:db8::1]",
    "224.0.0.1",
    "255.255.255.255",
]


def command(*words: str | Path, memory_mb: int | None = None) -> list[str]:
    """The command line of this environment."""
    limit = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({memory_mb << 20},) * 2); "
        if memory_mb
        else ""
    )
    return [sys.executable, "-c", f"{limit}from visionpipe.cli import main; main()", *map(str, words)]


def run(*words: str | Path, seconds: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {
        key: value for key, value in os.environ.items() if not key.upper().endswith(("_API_KEY", "_PROXY"))
    }
    return subprocess.run(
        command(*words), env=env | variables, capture_output=True, text=True, timeout=seconds, check=False
    )


def against(sandbox: SandboxHandle) -> dict[str, str]:
    return {"VISIONPIPE_BASE_URL": f"bigmodel+{sandbox.base_url}", "VISIONPIPE_API_KEY": sandbox.key}


def photos(folder: Path, count: int = PHOTOS) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.jpg").write_bytes(jpeg_bytes(40 + number, 30))
    return folder


@contextmanager
def serving(answer: bytes, pause: float = 0.0) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives everybody the same bytes; its base URL, and the heads that came."""
    listener = socket.create_server(("127.0.0.1", 0))
    came: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            came.append(connection.recv(65536))
            time.sleep(pause)
            connection.sendall(answer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", came
    finally:
        listener.close()


def one_journal_two_runs(work: Path) -> tuple[str, bool]:
    ways: dict[str, Callable[[Path, Path], None]] = {
        "symbolic link": lambda old, new: new.symlink_to(old),
        "hard link": lambda old, new: os.link(old, new),
        "folder link": lambda old, new: new.parent.symlink_to(old.parent, target_is_directory=True),
    }
    twice = 0
    for place, (name, link) in enumerate(ways.items()):
        folder = photos(work / f"in{place}")
        (work / f"j{place}").mkdir()
        first = work / f"j{place}" / "job.journal"
        second = (
            work / f"k{place}" / "job.journal" if name == "folder link" else work / f"other{place}.journal"
        )
        with running_sandbox() as sandbox:
            sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": 0.1}}]})
            words = ("caption", folder, "-m", "glm-4.6v", "--concurrency", "2", "-q")
            started = subprocess.Popen(
                command(*words, "-o", work / f"a{place}.jsonl", "--journal", first),
                env=os.environ | against(sandbox),
                stderr=subprocess.DEVNULL,
            )
            while sandbox.stats()["requests"] < 3:
                time.sleep(0.02)
            link(first, second)
            run(*words, "-o", work / f"b{place}.jsonl", "--journal", second, **against(sandbox))
            started.wait()
            twice += sandbox.stats()["requests"] - PHOTOS
    return f"{twice} of {3 * PHOTOS} images asked twice", twice == 0


def odd_hosts(work: Path) -> tuple[str, bool]:
    folder = photos(work / "in", 3)
    lines = [str(path) for path in sorted(folder.iterdir())]
    lines[1:1] = [
        "http://xn--/a.png",
        "http://a..b/c.png",
        f"http://{'a' * 64}.example/x.png",
        "http://[::/a.png",
    ]
    (work / "list.txt").write_text("\n".join(lines), "utf-8")
    with running_sandbox() as sandbox:
        done = run("caption", work / "list.txt", "-o", work / "o.jsonl", "--fetch", **against(sandbox))
    rows = [json.loads(line) for line in (work / "o.jsonl").read_text("utf-8").splitlines()]
    good = sum(row["outcome"] == "done" for row in rows)
    held = good == 3 and len(rows) == 7 and "Traceback" not in done.stderr
    return f"{good} of 3 good ones done, {len(rows) - good} of 4 failed, exit {done.returncode}", held


def bombs(work: Path) -> tuple[str, bool]:
    figures = []
    held = True
    inner = gzip.compress(bytes(100_000_000))
    for coding, body in (("gzip, gzip", gzip.compress(inner)), ("gzip", inner)):
        head = HEAD + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding.encode(), len(body))
        with serving(head + body) as (url, _):
            program = (
                "import resource, sys, time, visionpipe as vp\n"
                f"client = vp.Client('m', base_url={url!r}, api_key='k', timeouts=vp.Timeouts(total=8))\n"
                "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; begun = time.monotonic()\n"
                "try: client.ask('What?')\n"
                "except vp.VisionPipeError as error: pass\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.monotonic() - begun)"
            )
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        kilobytes, seconds = map(float, done.stdout.split())
        figures.append(f"{coding}: {len(body):,} bytes took {kilobytes / 1024:.0f} MB and {seconds:.1f} s")
        held &= kilobytes < 100 * 1024 and seconds < 9
    return "; ".join(figures), held


def sparse_file(work: Path) -> tuple[str, bool]:
    folder = photos(work / "in", 2)
    with (folder / "huge.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(1 << 40)
    begun = time.monotonic()
    with running_sandbox() as sandbox:
        done = run("caption", folder, "-o", work / "o.jsonl", "-q", **against(sandbox))
    seconds = time.monotonic() - begun
    return (
        f"a sparse 1 TiB image ended after {seconds:.1f} s, the others done",
        seconds < 20 and "2 done" in done.stderr,
    )


def damaged_journals(work: Path) -> tuple[str, bool]:
    folder = photos(work / "in", 8)
    raw = told = lost = 0
    with running_sandbox() as sandbox:
        base_url = f"bigmodel+{sandbox.base_url}"
        with vp.Client("glm-4.6v", base_url=base_url, api_key=sandbox.key) as client:

            def job() -> list[vp.ItemResult]:
                return list(vp.Pipeline("What?", client=client, journal=work / "j").run(folder))

            job()
            whole = (work / "j").read_bytes()
            for seed in range(DAMAGED):
                chance = random.Random(seed)
                data = bytearray(whole)
                for _ in range(chance.choice((1, 4, 24))):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                for left in work.glob("j*"):
                    left.unlink()
                (work / "j").write_bytes(data)
                try:
                    lost += sum(result.outcome != "done" for result in job()) + 8 - len(job())
                except vp.JournalError:
                    told += 1
                except Exception:
                    raw += 1
    figure = (
        f"{raw} raw errors and {lost} lost results in {DAMAGED} damaged copies, {told} said to be damaged"
    )
    return figure, raw == lost == 0


def rebinding(work: Path) -> tuple[str, bool]:
    odd = [{"Host": "evil.example:80"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
    answered = 0
    with running_sandbox() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        for path in ("/stats", "/_sandbox/log", "/api/paas/v4/chat/completions", "/v1/models"):
            for headers in odd:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", path, headers=headers)
                answered += connection.getresponse().status != 403
                connection.close()
    return f"{answered} of {4 * len(odd)} requests of a web page answered", answered == 0


def cancelled_opening(work: Path) -> tuple[str, bool]:
    folder = photos(work / "in", 2)
    locked = 0

    async def begin(client: vp.Client) -> None:
        async for _ in vp.Pipeline("What?", client=client, journal=work / "j").arun(folder):
            pass

    async def attack(client: vp.Client, seconds: float) -> None:
        task = asyncio.create_task(begin(client))
        await asyncio.sleep(seconds)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    tries = 8
    with running_sandbox() as sandbox:
        base_url = f"bigmodel+{sandbox.base_url}"
        with vp.Client("glm-4.6v", base_url=base_url, api_key=sandbox.key) as client:
            for number in range(tries):
                asyncio.run(attack(client, number * 0.004))
                try:
                    list(vp.Pipeline("What?", client=client, journal=work / "j").run(folder))
                except vp.JournalError as error:
                    locked += error.code == "locked"
    return f"{locked} of {tries} met their own lock", locked == 0


def odd_answers(work: Path) -> tuple[str, bool]:
    length = b"Content-Length: %d\r\n" % len(ANSWER)
    answers = [
        HEAD + b"X-Trace: " + b"a" * 150_000 + b"\r\n" + length + b"\r\n" + ANSWER,
        HEAD + b"Content-Length: many\r\n\r\n" + ANSWER,
        HEAD + b"Content-Length: 9999\r\n\r\n" + ANSWER,
        HEAD + b"Content-Length: 20\r\n\r\n" + ANSWER,
        HEAD + b"no header\r\n" + length + b"\r\n" + ANSWER,
        HEAD + length + b"\r\n" + ANSWER.replace(b"cat", b"c\xfft"),
        HEAD + b"Content-Length: %d\r\n\r\n" % (len(ANSWER) - 5) + ANSWER[:-5],
        HEAD + b"Content-Length: %d\r\n\r\n" % (len(ANSWER) + 8) + ANSWER[:-1] + b',"x":NaN}',
    ]
    read = 0
    for answer in answers:
        with (
            serving(answer) as (url, _),
            vp.Client("m", base_url=url, api_key="k") as client,
            suppress(vp.VisionPipeError),
        ):
            reply = client.ask("What?")
            read += bool(reply.text) and any(note.kind == "damaged" for note in reply.notes)
    return f"{read} of {len(answers)} odd paid answers read, with a note", read == len(answers)


def private_addresses(work: Path) -> tuple[str, bool]:
    with serving(HEAD + b"Content-Length: 0\r\n\r\n") as (url, came), running_sandbox() as sandbox:
        port = url.rpartition(":")[2].partition("/")[0]
        lines = [f"http://{name}:{port}/{number}.png" for number, name in enumerate(SPELLINGS)]
        (work / "list.txt").write_text("\n".join(lines), "utf-8")
        done = run("caption", work / "list.txt", "-o", work / "o.jsonl", "--fetch", "-q", **against(sandbox))
    held = not came and "Traceback" not in done.stderr
    return f"{len(came)} of {len(SPELLINGS)} spellings of private addresses reached", held


def a_stop(work: Path) -> tuple[str, bool]:
    folder = photos(work / "in", 3)
    with (folder / "001.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU")
        file.truncate(300 << 20)
    with running_sandbox() as sandbox:
        sandbox.set_scenario({"rule": [{"fault": {"kind": "latency", "seconds": 0.5}}]})
        started = subprocess.Popen(
            command("caption", folder, "-o", work / "o.jsonl", "-q"),
            env=os.environ | against(sandbox),
            stderr=subprocess.DEVNULL,
        )
        while not sandbox.stats()["requests"]:
            time.sleep(0.01)
        begun = time.monotonic()
        started.send_signal(signal.SIGTERM)
        started.wait(60)
    seconds = time.monotonic() - begun
    return f"SIGTERM heeded after {seconds:.1f} s, exit {started.returncode}", seconds < 10


ATTACKS: dict[str, Callable[[Path], tuple[str, bool]]] = {
    "one journal, two runs": one_journal_two_runs,
    "hosts that are none, in a list": odd_hosts,
    "compression bombs": bombs,
    "a file of 1 TiB": sparse_file,
    "a stop while files are read": a_stop,
    "damaged journals": damaged_journals,
    "web pages at the sandbox": rebinding,
    "cancelled while opening": cancelled_opening,
    "odd answers that are paid for": odd_answers,
    "private addresses": private_addresses,
}


def main() -> int:
    hits = 0
    for name, attack in ATTACKS.items():
        work = Path(tempfile.mkdtemp(prefix="attack-"))
        try:
            figure, held = attack(work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        hits += not held
        print(f"{'held' if held else 'HIT '}  {name}: {figure}", flush=True)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
