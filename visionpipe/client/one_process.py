"""A client stays in the process that made it.

It is never pickled, since its key would lie in the clear wherever the bytes go.
"""

from __future__ import annotations

from typing import NoReturn


class OneProcess:
    """What refuses to be pickled or copied."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied: its key would stand in the clear. "
            "Make a client in each process instead."
        )
