"""No web page reaches the sandbox, neither across sites nor by a name bent to this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sandbox.calls import chat, send, upload
from visionpipe.errors import ConfigurationError
from visionpipe.sandbox.app import ADDRESSES
from visionpipe.sandbox.loopback import is_local
from visionpipe.sandbox.scenario import DEFAULT_KEY
from visionpipe.testing.sandbox import SandboxHandle, running_sandbox

PATHS = [
    "/stats",
    "/_sandbox/log",
    "/nowhere",
    *(path.format(id="x", app_id="x") for addresses in ADDRESSES.values() for path in addresses),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:8011"}]
)
def test_no_address_answers_a_page(sandbox: SandboxHandle, path: str, headers: dict[str, str]) -> None:
    answer = send(sandbox, path, headers=headers)
    assert answer.status == 403
    assert answer.code == "403"
    assert sandbox.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8011", True),
        ("[::1]:8011", True),
        ("localhost:8011", True),
        ("LOCALHOST", True),
        ("sandbox.localhost", True),
        ("192.168.1.7:80", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:80", False),
        ("127.0.0.1@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_which_hosts_are_local(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_by_its_own_name_and_by_another_where_it_has_keys_of_its_own(sandbox: SandboxHandle) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert send(sandbox, body=chat(), headers={"Host": f"localhost:{port}"}).status == 200


def test_the_published_key_is_one_that_the_vendors_own_server_takes() -> None:
    assert "key" not in DEFAULT_KEY.lower()
    assert "api" not in DEFAULT_KEY.lower()


@pytest.mark.parametrize(
    "content",
    [b"not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 5000, "cut", "foreign", "row"],
)
def test_a_damaged_state_is_an_error_that_names_the_file(tmp_path: Path, content: bytes | str) -> None:
    import sqlite3

    state = tmp_path / "state.db"
    if isinstance(content, bytes):
        state.write_bytes(content)
    elif content == "foreign":
        with sqlite3.connect(state) as base:
            base.execute("create table document (name text)")
    else:
        with running_sandbox(state=state) as handle:
            for number in range(200 if content == "cut" else 1):
                upload(handle, f"{number}.jsonl", "batch", b"{}\n" * 50)
        if content == "cut":
            whole = state.read_bytes()
            state.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
        else:
            with sqlite3.connect(state) as base:
                base.execute("update document set body = '{\"id\": '")
    with (
        pytest.raises(ConfigurationError, match="state cannot be used") as caught,
        running_sandbox(state=state),
    ):
        pass
    assert caught.value.subject == str(state)


def test_a_state_that_is_whole_is_taken_up_again(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with running_sandbox(state=state) as handle:
        made = upload(handle, "a.jsonl", "batch", b"{}\n").json
    with running_sandbox(state=state) as handle:
        assert [row["id"] for row in send(handle, "/api/paas/v4/files").json["data"]] == [made["id"]]
