"""Limits of the service that hold for every model, for the client that keeps to them and for the sandbox.

From the reference of docs.bigmodel.cn (chat completion, batch), read in 2026.
"""

from __future__ import annotations

BATCH_LINES = 50_000
"""The most requests in one batch file."""

BATCH_METADATA = 16
"""The most keys of a batch's metadata."""

BATCH_ID_LENGTH = 6
"""The fewest characters of a line's ``custom_id``."""

USER_ID_LENGTHS = range(6, 129)
REQUEST_ID_LENGTHS = range(6, 65)
"""Characters of ``user_id`` and of ``request_id``."""


def in_words(lengths: range) -> str:
    """The lengths that are allowed, as "6 to 128"."""
    return f"{lengths.start} to {lengths.stop - 1}"
