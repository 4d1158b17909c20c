"""Which pictures are near duplicates: by dHash or by feature vector, and how a user names the rule.

A vector is made once for the same bytes, also across runs. Only the vectors that others are compared with
are in memory, 268 bytes each; the network and numpy are loaded when the first picture is read.

Measured with OpenCV 5.0 on 2 cores: a vector takes 28 ms (55 of processor time, 87 for a JPEG of 12 MP),
finding the nearest of 100,000 another 7. A job of 396 photos took 22 ms an image with 4 preparers. 26 MB for
100,000 vectors, and 60 for a network, of which there is one a core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from visionpipe.errors import ParameterError
from visionpipe.pipeline.duplicates import LARGEST_THRESHOLD, Near, NearIndex, check_bits
from visionpipe.sources.find import Source
from visionpipe.store.database import Database

if TYPE_CHECKING:
    from visionpipe.local.likeness import VectorIndex


DEFAULT_LIKENESS, LEAST_LIKENESS = 0.9, 0.5
_ROUNDING = 1e-6

Read = Callable[[str], bytes]
"""From a picture's path to its vector."""


class Resemblance(Protocol):
    """One way to judge. Thread-safe."""

    def signature(self, content: str, source: Source) -> Any:
        """What comparing needs to know of a picture; the slow part.

        Raises:
            VisionPipeError: the picture cannot be read.
        """

    def first_like(self, content: str, source: str, signature: Any) -> Near | None:
        """The picture that this one is near to; None, and remembered as a first, where there is none.

        Args:
            content: the key of its bytes; ``source`` its name.
            signature: what ``signature`` gave.
        """


class HashResemblance:
    """Judges by dHash.

    Args:
        index: where firsts are kept.
        recorded: earlier firsts, which come before; None where ``index`` has them.
    """

    def __init__(self, index: NearIndex, recorded: NearIndex | None = None) -> None:
        self._index = index
        self._recorded = recorded

    def signature(self, content: str, source: Source) -> int:
        from visionpipe.images.hashes import dhash

        return dhash(source.picture)

    def first_like(self, content: str, source: str, signature: int) -> Near | None:
        found = self._recorded.nearest(content, signature) if self._recorded is not None else None
        return found or self._index.first_like(content, source, signature)


class FeatureIndex:
    """Finds pictures whose vectors point the same way.

    Args:
        own: where vectors are kept.
        least: cosine, from which on two pictures are near.
        recorded: a journal that was opened for reading and holds earlier vectors.
        read: makes vectors; default the embedded network.
    """

    def __init__(
        self, own: Database, least: float, recorded: Database | None = None, read: Read | None = None
    ) -> None:
        self._own = own
        self._least = least
        self._databases = [own]
        # A journal opened for reading may be of a version that had no vectors.
        if recorded is not None and recorded.has_table("features"):
            self._databases.insert(0, recorded)
        self._read = read
        self._index: VectorIndex | None = None
        self._lock = threading.Lock()

    def signature(self, content: str, source: Source) -> bytes:
        """The vector of a picture, from the journal where it is known.

        Raises:
            InputError, UnsupportedError: the picture cannot be read.
        """
        from visionpipe.local.likeness import VERSION

        for database in self._databases:
            row = database.one(
                "SELECT vector FROM features WHERE content = ? AND version = ?", (content, VERSION)
            )
            if row is not None and isinstance(row["vector"], bytes):
                return row["vector"]
        return self._reader()(source.picture)

    def first_like(self, content: str, source: str, signature: bytes) -> Near | None:
        """The picture that this one is nearest to; None, and remembered as a first, where there is none."""
        with self._lock:
            index = self._loaded(len(signature))
            if self._is_first(content):
                return None
            found = index.nearest(signature)
            near = found is not None and found[1] >= self._least - _ROUNDING
            number = self._keep(content, source, signature, first=not near)
            if found is None or not near:
                index.add(number, signature)
                return None
            return self._near(*found)

    def _near(self, number: int, likeness: float) -> Near:
        place, database = divmod(number, len(self._databases))
        row = self._databases[database].one("SELECT content, source FROM features WHERE id = ?", (place,))
        assert row is not None, "what is in the index is in the journal"
        return Near(row["content"], row["source"], likeness=likeness)

    def _is_first(self, content: str) -> bool:
        from visionpipe.local.likeness import VERSION

        sql = "SELECT 1 FROM features WHERE content = ? AND version = ? AND first"
        return any(database.one(sql, (content, VERSION)) for database in self._databases)

    def _keep(self, content: str, source: str, vector: bytes, *, first: bool) -> int:
        """Writes a vector down; its number in the index."""
        from visionpipe.local.likeness import VERSION

        self._own.write(
            (
                "INSERT INTO features (content, source, version, first, vector) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (content) DO UPDATE SET source = excluded.source, version = excluded.version, "
                "first = excluded.first, vector = excluded.vector",
                (content, source, VERSION, first, vector),
            )
        )
        row = self._own.one("SELECT id FROM features WHERE content = ?", (content,))
        assert row is not None, "it was written just now"
        return self._number(row["id"], len(self._databases) - 1)

    def _number(self, place: int, database: int) -> int:
        return place * len(self._databases) + database

    def _loaded(self, length: int) -> VectorIndex:
        if self._index is None:
            from visionpipe.local.likeness import VERSION, VectorIndex

            self._index = VectorIndex(length)
            sql = "SELECT id, vector FROM features WHERE first AND version = ? ORDER BY id"
            for which, database in enumerate(self._databases):
                for row in database.all(sql, (VERSION,)):
                    if not isinstance(row["vector"], bytes) or len(row["vector"]) != length:
                        continue  # a damaged row
                    self._index.add(self._number(row["id"], which), row["vector"])
        return self._index

    def _reader(self) -> Read:
        with self._lock:
            if self._read is None:
                from visionpipe.local.likeness import shared_reader

                self._read = shared_reader().vector
            return self._read


@dataclass(frozen=True, slots=True)
class Bits:
    """Near are pictures whose dHash differs in ``most`` of 64 bits."""

    most: int

    def over(self, own: Database, recorded: Database | None = None) -> Resemblance:
        """Judges against what ``own`` holds and is added to it, and against ``recorded``, which stays."""
        index = NearIndex(own, self.most)
        return HashResemblance(index, None if recorded is None else NearIndex(recorded, self.most))


@dataclass(frozen=True, slots=True)
class Features:
    """Near are pictures whose feature vectors have a cosine of ``least`` or more.

    The default of 0.9, measured on the pictures named in ``visionpipe.local.likeness``, 27 of them photos:
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
        """As for ``Bits``."""

        return FeatureIndex(own, self.least, recorded)


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
