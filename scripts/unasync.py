"""Write the blocking twins: every ``_sync`` folder of the package from the ``_async`` folder beside it.

    python scripts/unasync.py            write them
    python scripts/unasync.py --check    exit with 1, and say which, where one is not what it should be

A file is read as Python's tokens. ``async`` and ``await`` go, ``Awaitable[X]`` becomes ``X``, and names
change: by the table ``NAMES``, from ``AsyncThing`` to ``Thing``, and from ``do_it_async`` to ``do_it``, in
docstrings and comments too. Inside an f-string nothing can be changed, so that a name which would have to be
is an error. Imports that are then out of order or unused are mended by ruff, and lines that have become short
enough are joined by it.
"""

from __future__ import annotations

import argparse
import keyword
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "visionpipe"

NAMES = {
    "_async": "_sync",
    "asyncio": "time",  # for asyncio.sleep; a test keeps anything else of it out
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "anext": "next",
    "direct_async": "direct_sync",
    "AsyncioTransport": "SocketTransport",
}
IN_TEXT = re.compile(r"\basync (?=with\b|for\b|def\b)|\bawait |\b\w+\b")
F_STRING = re.compile(r"[rR]?[fF][rR]?['\"]")


class UnasyncError(Exception):
    """A file that cannot be turned into its twin."""


def renamed(name: str) -> str:
    """A name as it is in the blocking twin.

    Raises:
        UnasyncError: it would become a keyword.
    """
    if name in NAMES:
        return NAMES[name]
    prefixed = re.fullmatch(r"(_?)Async([A-Z]\w*)", name)
    new = prefixed[1] + prefixed[2] if prefixed else name
    if new.endswith("_async") and new.strip("_") != "async":
        new = new.removesuffix("_async")
    if new != name and keyword.iskeyword(new):
        raise UnasyncError(f"{name!r} would become the keyword {new!r}")
    return new


def unasync(source: str) -> str:
    """The blocking twin's text, before its imports are sorted and its lines joined."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    pieces = []
    end = 0
    for (row, column), (end_row, end_column), new in edits(source):
        start = starts[row - 1] + column
        pieces += [source[end:start], new]
        end = starts[end_row - 1] + end_column
    return "".join((*pieces, source[end:]))


Place = tuple[int, int]


def edits(source: str) -> Iterator[tuple[Place, Place, str]]:
    """What is to be replaced by what, in order: the places of its first character and behind its last."""
    tokens = list(tokenize.generate_tokens(StringIO(source).readline))
    unwrapped: list[int] = []  # for each open bracket that goes: how many are open inside of it
    in_f_string = 0
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        kind = tokenize.tok_name[token.type]
        in_f_string += {"FSTRING_START": 1, "FSTRING_END": -1}.get(kind, 0)
        if in_f_string or (kind == "STRING" and F_STRING.match(token.string)):
            _refuse_changes(token.string, token.start[0])
        elif kind == "NAME" and token.string in ("async", "await"):
            yield token.start, after.start, ""
        elif kind == "NAME" and token.string == "Awaitable" and after.string == "[":
            yield token.start, after.end, ""
            unwrapped.append(-1)
        elif kind == "NAME":
            new = renamed(token.string)
            if new != token.string:
                yield token.start, token.end, new
        elif kind in ("STRING", "COMMENT"):
            new = IN_TEXT.sub(_word, token.string)
            if new != token.string:
                yield token.start, token.end, new
        elif unwrapped and token.string == "[":
            unwrapped[-1] += 1
        elif unwrapped and token.string == "]":
            if unwrapped[-1] == 0:
                unwrapped.pop()
                yield token.start, token.end, ""
            else:
                unwrapped[-1] -= 1


def _word(found: re.Match[str]) -> str:
    if found[0].endswith(" "):
        return ""
    return found[0] if found[0] in ("asyncio", "anext") else renamed(found[0])


def _refuse_changes(text: str, line: int) -> None:
    for word in re.findall(r"\w+", text):
        if word == "await" or (word != "asyncio" and renamed(word) != word):
            raise UnasyncError(f"line {line}: {word!r} stands in an f-string, where it cannot be changed")


def tidied(text: str, path: Path) -> str:
    """The text as this project's ruff wants it."""
    for command in (["check", "--select", "I,F401", "--fix-only", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--stdin-filename", str(path), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        text = done.stdout
    return text


def twins() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    found = {}
    for folder in sorted(PACKAGE.rglob("_async")):
        for source in sorted(folder.glob("*.py")):
            name = source.relative_to(ROOT).as_posix()
            mark = f"# Generated by scripts/unasync.py from {name}: change that.\n"
            target = folder.with_name("_sync") / source.name
            try:
                found[target] = tidied(mark + unasync(source.read_text("utf-8")), target)
            except UnasyncError as error:
                raise UnasyncError(f"{name}: {error}") from error
    return found


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """Generated files that are not as ``wanted``: old, changed by hand, missing, or without a source."""
    there = {path for folder in PACKAGE.rglob("_sync") for path in folder.glob("*.py")}
    wrong = [path for path, text in wanted.items() if path not in there or path.read_text("utf-8") != text]
    return sorted({*wrong, *(there - set(wanted))})


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the blocking twins of the asyncio modules.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a twin is stale")
    check = parser.parse_args().check
    wanted = twins()
    wrong = stale(wanted)
    for path in wrong:
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run python scripts/unasync.py", file=sys.stderr)
        elif path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        else:
            path.unlink()
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
