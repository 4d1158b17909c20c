"""The tree drawn in the docstring is the tree there is, and errors keep what they say."""

from __future__ import annotations

import pickle
import re
from itertools import pairwise

import pytest

from visionpipe import errors


def classes() -> list[type[errors.VisionPipeError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.VisionPipeError)
    ]


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    families: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]*)(\w+Error)\b", line)
        if found:
            depth, name = len(found.group(1)), found.group(2)
            while families and families[-1][0] >= depth:
                families.pop()
            drawn[name] = families[-1][1] if families else "Exception"
            families.append((depth, name))
    real = {kind.__name__: (kind.__base__ or object).__name__ for kind in classes()}
    assert drawn == real


def test_jobs_and_retryables_are_marked_as_drawn() -> None:
    for line, _ in pairwise((errors.__doc__ or "").splitlines()):
        found = re.match(r"^[ │├└─]*(\w+Error)\b.*?(\(job\)|retryable)?$", line)
        if found and found.group(2) == "(job)":
            assert getattr(errors, found.group(1)).default_scope == "job"
        if found and found.group(2) == "retryable":
            assert getattr(errors, found.group(1)).default_retryable is True


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[errors.VisionPipeError]) -> None:
    error = kind("it is broken", cure="Mend it.", subject="a.jpg", code="x", request_id="vp-1")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == "a.jpg: it is broken. Mend it."
    assert vars(again) == vars(error)
