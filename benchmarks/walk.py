"""Walks one question, one streamed reply and one clip through the library: how many of its own functions are
called on the way, how many of its files are entered, and how many of these more than once. ``-v`` lists the
functions in their order, with the file where it changes.

A file is entered when a function of it is called from, or after, one of another file. Comprehensions and
steps of generators count as calls, except those that Python 3.12 and later compile in place.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import visionpipe
from visionpipe import Client
from visionpipe.testing.sandbox import running_sandbox

PACKAGE = Path(visionpipe.__file__).parent
SAMPLES = PACKAGE.parent / "samples"


def walk(work: Callable[[], object]) -> list[tuple[str, str]]:
    """(file, function) of every call into the package while ``work`` runs, on its own thread."""
    calls: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            calls.append((Path(code.co_filename).relative_to(PACKAGE).as_posix(), code.co_qualname))

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def report(name: str, calls: list[tuple[str, str]], *, listed: bool) -> None:
    before = ["", *(file for file, _ in calls)]
    entries = Counter(file for (file, _), last in zip(calls, before, strict=False) if file != last)
    often = sum(count > 1 for count in entries.values())
    print(f"{name}: {len(calls)} own calls, {len(entries)} files entered, {often} of them more than once")
    if listed:
        for (file, function), last in zip(calls, before, strict=False):
            print(f"    {file if file != last else '':36} {function}")


def main() -> None:
    listed = "-v" in sys.argv
    photo, clip = SAMPLES / "flower.jpg", SAMPLES / "bigbuckbunny.mp4"
    with (
        running_sandbox() as sandbox,
        Client("glm-4.6v", base_url=sandbox.base_url, api_key=sandbox.key) as client,
    ):
        ways: dict[str, Callable[[], object]] = {
            "one question": lambda: client.ask("What is it?", photo),
            "one streamed reply": lambda: list(client.stream("What is it?", photo)),
            "one clip watched": lambda: client.watch(clip),
        }
        for name, way in ways.items():
            way()  # what is loaded and connected once is not the way's
            report(name, walk(way), listed=listed)


if __name__ == "__main__":
    main()
