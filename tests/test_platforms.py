"""Every module can be imported where the modules, functions and numbers that only POSIX has are missing."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import errno, importlib, os, pkgutil, select, signal, socket, sys, types

# What others bring is imported as it is here; only the package itself meets the other platform.
import av, cv2, fsspec, h11, httpx, jsonschema, mcp.server.mcpserver, numpy, opentelemetry.trace, orjson
import PIL.Image, pyarrow.parquet, pybase64, pydantic
import pytest, rich, starlette.applications, sysconfig, tenacity, typer, uvicorn

sysconfig.get_config_vars()  # read from a file named after the platform

HIDDEN = {"fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty"}


class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for name in HIDDEN:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hiding())
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
MISSING = {
    os: "O_CLOEXEC O_NOCTTY O_NOFOLLOW O_NONBLOCK chown fchmod fork geteuid getuid killpg mkfifo "
    "posix_fadvise pread register_at_fork sched_getaffinity setsid statvfs uname",
    errno: "EDQUOT ENOTSUP EOPNOTSUPP",
    select: "epoll poll",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGUSR1",
    socket: "AF_UNIX",
}
for module, names in MISSING.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

import visionpipe

imported = 0
for found in pkgutil.walk_packages(visionpipe.__path__, "visionpipe."):
    if not found.name.endswith("__main__") and ".adapters." not in found.name:
        importlib.import_module(found.name)
        imported += 1
print(imported)
"""


def test_the_package_imports_without_what_only_posix_has() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
