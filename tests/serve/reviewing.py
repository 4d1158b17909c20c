"""A review page on loopback, reached as a browser reaches it, and a journal to be reviewed."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvicorn

from tests.cli.commands import environment, visionpipe
from tests.pipeline.answering import Scripted
from visionpipe.cli.outputs import Locator
from visionpipe.pipeline.pipeline import Pipeline
from visionpipe.sandbox.loopback import LocalServer, bind
from visionpipe.serve.app import ReviewApp
from visionpipe.serve.review import Reviewer
from visionpipe.testing.sandbox import SandboxHandle


def asked(journal: Path, images: Path, prompt: str = "What?", **options: Any) -> Path:
    """A journal with answers about what lies in the folder."""
    answerer = options.pop("answerer", None) or Scripted()
    pipeline = Pipeline(
        prompt, answerer=answerer, model="m", journal=journal, quality=None, concurrency=1, **options
    )
    list(pipeline.run(images))
    return journal


class Browser:
    """What a browser sends, by hand."""

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        self.url = url
        self.host = split.netloc
        self.start = f"{split.path}?{split.query}"
        self.cookie = ""

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        with closing(http.client.HTTPConnection(self.host, timeout=30)) as connection:
            sent = {"Cookie": self.cookie, **({} if body is None else {"Content-Type": "application/json"})}
            sent |= headers or {}
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    def open(self) -> int:
        """Takes the token of the address; gives the status."""
        status, headers, _ = self.send("GET", self.start)
        self.cookie = headers.get("set-cookie", "").split(";")[0]
        return status

    def get(self, path: str, /, **values: str) -> Any:
        status, _, body = self.send("GET", f"{path}?{urlencode(values)}")
        assert status == 200, body
        return json.loads(body)

    def do(self, name: str, /, **body: Any) -> Any:
        status, _, answer = self.send("POST", f"/do/{name}", body)
        assert status == 200, answer
        return json.loads(answer)


@contextmanager
def served(journal: Path, who: str = "Ana") -> Iterator[Browser]:
    """The page of a journal, and a browser that has not opened it yet."""
    with closing(Locator(journal)) as locate, closing(Reviewer(journal, who, locate)) as reviewer:
        listener = bind()
        app = ReviewApp(reviewer, listener)
        config = uvicorn.Config(app.application(), ws="none", lifespan="off", log_config=None)
        server = LocalServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Browser(app.url)
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            listener.close()


def captioned(sandbox: SandboxHandle, folder: Path, *options: str) -> None:
    given = ["caption", "in", *options, *at(sandbox), "-q"]
    done = visionpipe(*given, folder=folder, env={"VISIONPIPE_API_KEY": sandbox.key})
    assert done.returncode == 0, done.stderr


def at(sandbox: SandboxHandle) -> tuple[str, ...]:
    return ("--base-url", f"bigmodel+{sandbox.base_url}", "--model", "glm-4.6v")


@contextmanager
def reviewing(
    sandbox: SandboxHandle, journal: Path, *options: str
) -> Iterator[tuple[Browser, subprocess.Popen[str]]]:
    """The command, as a user starts it, and a browser that has not opened its page yet."""
    command = [sys.executable, "-m", "visionpipe", "review", str(journal), "--no-browser", *at(sandbox)]
    env = environment({"VISIONPIPE_API_KEY": sandbox.key})
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=env, cwd=journal.parent
    ) as process:
        try:
            assert process.stderr is not None
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "it ended"
                found = re.search(r"http\S+", line)
            yield Browser(found.group()), process
        finally:
            process.kill()
