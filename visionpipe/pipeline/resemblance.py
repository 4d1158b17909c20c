"""Which pictures are near duplicates: the ways to judge it, and how a user names them.

The rule: a picture is looked at by any thread and then compared in the order of the listing with those that
came first and were like no other; the nearest of them within the threshold is the one it shares with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from visionpipe.errors import ParameterError
from visionpipe.loaders.sources import Source
from visionpipe.pipeline.database import Database
from visionpipe.pipeline.duplicates import LARGEST_THRESHOLD, Looks, Near, check_bits

DEFAULT_LIKENESS, LEAST_LIKENESS = 0.9, 0.5


class Resemblance(Protocol):
    """One way to judge. Thread-safe."""

    def look(self, content: str, source: Source) -> Any:
        """What comparing needs to know of a picture; the slow part.

        Raises:
            VisionPipeError: the picture cannot be looked at.
        """

    def first_like(self, content: str, source: str, sight: Any) -> Near | None:
        """The picture that this one is near to; None, and remembered as a first, where there is none.

        Args:
            content: the key of its bytes; ``source`` its name.
            sight: what :meth:`look` gave.
        """


@dataclass(frozen=True, slots=True)
class Bits:
    """Near are pictures whose dHash differs in ``most`` of 64 bits."""

    most: int

    def over(self, own: Database, recorded: Database | None = None) -> Resemblance:
        """Judges against what ``own`` holds and is added to it, and against ``recorded``, which stays."""
        looks = Looks(own, self.most)
        return HashResemblance(looks, None if recorded is None else Looks(recorded, self.most))


@dataclass(frozen=True, slots=True)
class Features:
    """Near are pictures whose feature vectors have a cosine of ``least`` or more.

    The default of 0.9, measured on the pictures named in :mod:`visionpipe.local.likeness`, 27 of them photos:
    it finds a photo cropped to 90 % in 9 of 10 cases, mirrored, scaled by 5 % or at JPEG quality 40 in all,
    40 % brighter or 35 % darker in 9 of 10, and frames of one shot a third of a second apart in 14 of 16.
    No two different pictures of the 820 pairs had more than 0.74. The more alike in kind the pictures of a
    job are, the more it takes: look at the plan first.

    Pages, charts and products on white are held to their layout as well: of 105 pairs each of different
    letters, charts and products drawn for the purpose none had 0.9, but of forms filled in differently 23 %
    did; and of such pictures no crop or mirror is found.
    """

    least: float = DEFAULT_LIKENESS

    def over(self, own: Database, recorded: Database | None = None) -> Resemblance:
        """As for :class:`Bits`."""
        from visionpipe.pipeline.feature_looks import FeatureLooks

        return FeatureLooks(own, self.least, recorded)


class HashResemblance:
    """Judges by dHash.

    Args:
        looks: where firsts are kept.
        recorded: earlier firsts, which come before; None where ``looks`` has them.
    """

    def __init__(self, looks: Looks, recorded: Looks | None = None) -> None:
        self._looks = looks
        self._recorded = recorded

    def look(self, content: str, source: Source) -> int:
        from visionpipe.loaders.perceptual import dhash

        return dhash(source.location)

    def first_like(self, content: str, source: str, sight: int) -> Near | None:
        found = self._recorded.nearest(content, sight) if self._recorded is not None else None
        return found or self._looks.first_like(content, source, sight)


def near_rule(given: int | str | None) -> Bits | Features | None:
    """What a user means by ``near_duplicates``.

    Args:
        given: 0 to 11 bits, as a number or as text; ``features``, or ``features:0.95`` with a least cosine of
            0.5 to 1; None for identical files only.

    Raises:
        ParameterError: anything else.
    """
    if given is None:
        return None
    text = str(int(given)) if isinstance(given, int) else given.strip().lower()
    name, colon, least = text.partition(":")
    if name == "features":
        return Features(_number(float, least, given)) if colon else Features()
    bits = _number(int, text, given)
    check_bits(bits)
    return Bits(bits)


def _number(kind: Callable[[str], Any], text: str, given: object) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or (kind is float and not LEAST_LIKENESS <= number <= 1):
        raise ParameterError(
            f"{given!r} is no measure of likeness",
            cure=f"Give 0 to {LARGEST_THRESHOLD} (bits of the dHash), features, or features: and a cosine of "
            f"{LEAST_LIKENESS} to 1, such as features:0.95.",
            subject="near_duplicates",
            scope="job",
        )
    return number
