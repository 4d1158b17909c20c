"""Whether an item has to be asked about at all; the plan and the run decide it with the same code.

A name, a stat and a row of the journal settle most items of a job that is started again. Bytes are read only
where nothing is known of them, and nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from visionpipe.errors import VisionPipeError
from visionpipe.files import sha256_of_content
from visionpipe.images.load import SeenFile
from visionpipe.media import Image
from visionpipe.pipeline.answerer import Render, Skip
from visionpipe.pipeline.contents import fingerprint, held_image, stat_of
from visionpipe.pipeline.ledger import Key, Record
from visionpipe.pipeline.reading import PAGE, JournalView, Recalled, Recorded, content_known
from visionpipe.results import ItemResult, Outcome
from visionpipe.sources.find import FailedSource, Found, SkippedSource, Source
from visionpipe.stages.keys import Recipe, content_of_link, is_link

LISTED_TWICE = "listed twice"
_PROMPTS_KEPT = 16
NO_QUESTION = ""
"""The question of an item that never came as far as having one."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not to be asked about. ``reason`` is one of a few words, ``detail`` more than that.

    ``again``: it has its end already, under the same name in the same run.
    """

    key: Key
    reason: str
    again: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """Recorded by an earlier run, of ``job``."""

    key: Key
    result: ItemResult
    job: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Cannot be asked about: its file or folder cannot be read, or a field of its prompt is missing."""

    key: Key
    error: VisionPipeError


@dataclass(frozen=True, slots=True)
class Fresh:
    """To be asked about.

    Attributes:
        seen: a file whose bytes were read just now, else None.
        image: the picture that the item itself held, as it will be sent.
        changed: another version of the item was asked about before.
    """

    key: Key
    content: str
    prompt: str
    seen: SeenFile | None
    image: Image | None = None
    changed: bool = False


Decision: TypeAlias = Skipped | Kept | Refused | Fresh


@dataclass(frozen=True, slots=True)
class Triage:
    """Decides whether items have to be asked about.

    Attributes:
        journal: what is recorded.
        recipe: what all items share.
        render: the prompt of an item.
        skip: why an item is not to be asked about.
        view: where the journal is one that can be looked up by the page (``recalling``).
        run: the run under way; what it has recorded itself is not "kept". 0 for a plan.
        retry_failed: ask again where a recorded failure may pass.
        force: ask again whatever is recorded.
    """

    journal: Record
    recipe: Recipe
    render: Render
    skip: Skip | None = None
    run: int = 0
    retry_failed: bool = False
    force: bool = False
    view: JournalView | None = None
    _recalled: dict[str, Recalled] = field(default_factory=dict)
    _questions: dict[str, str] = field(default_factory=dict)

    @property
    def shared_since(self) -> int:
        """The first run whose answers may be shared with other items of the same bytes."""
        return self.run if self.force else 0

    def recalling(self, sources: Iterator[Found]) -> Iterator[Found]:
        """The listing, read ahead by a page, for which the journal is asked once."""
        assert self.view is not None, "only such a journal is asked by the page"
        failed: VisionPipeError | None = None
        while failed is None:
            page: list[Found] = []
            try:
                page.extend(islice(sources, PAGE))
            except VisionPipeError as error:
                failed = error
            if not page and failed is None:
                return
            self._recalled.update(self.view.recall([one.name for one in page if isinstance(one, Source)]))
            yield from page
        raise failed

    def recalls(self, source: str) -> bool:
        """Whether an end of ``source`` is at hand, so that deciding takes no time."""
        known = self._recalled.get(source)
        return known is not None and bool(known.results)

    def _known(self, source: str) -> Recalled | None:
        """What the page told, unless this run has recorded something since; to be asked for once."""
        known = self._recalled.pop(source, None)
        return None if known is None or known.view.was_touched(source) else known

    def decide(self, source: Found, is_over: Callable[[], bool] | None = None) -> Decision:
        """Decides about one item of the listing.

        Args:
            source: the item.
            is_over: whether the run has been stopped, asked while a large file is read.

        Raises:
            Closed: the run was stopped meanwhile.
        """
        key = Key(source.name, NO_QUESTION, None)
        if isinstance(source, SkippedSource):
            return Skipped(key, source.reason, detail=source.detail)
        if isinstance(source, FailedSource):
            return Refused(key, source.error)
        try:
            prompt = self.render(source)
            key = Key(source.name, self._question(prompt), None)
            known = self._known(source.name)
            if known is None:
                found = self.journal.recorded(source.name, key.question)
            else:
                found = known.view.recorded_in(known.results.get(key.question))
            if found is not None and self.run and found.run == self.run:
                return Skipped(key, LISTED_TWICE, again=True)
            # An item that was answered here before is not skipped for the sidecar that its answer left.
            answered = found is not None and found.result.outcome is Outcome.DONE
            reason = self.skip(source) if self.skip is not None and not answered else None
            if reason is not None:
                return Skipped(key, reason)
            if source.version is not None and source.image is not None:
                # A store's word for the bytes is enough to know an item that is done without fetching it.
                named = content_of_link(source.location, source.version)
                kept = self._kept(source.name, key.question, named, found)
                if kept is not None:
                    return kept
                key, changed = Key(source.name, key.question, named), _is_other(found, named)
                return Fresh(key, named, prompt, None, held_image(source), changed)
            image = held_image(source)
            content, seen = (
                (sha256_of_content(image.content), None)
                if image is not None
                else self._content(source, known, is_over)
            )
        except VisionPipeError as error:
            return Refused(key, error)
        kept = self._kept(source.name, key.question, content, found)
        if kept is not None:
            return kept
        key = Key(source.name, key.question, content)
        return Fresh(key, content, prompt, seen, image, _is_other(found, content))

    def _kept(self, source: str, question: str, content: str, found: Recorded | None) -> Kept | None:
        """The end that this version of an item has come to; None where it is to be asked about."""
        if found is not None and found.content != content:
            found = self.journal.recorded(source, question, content)
        if found is None or found.content != content or self._again(found.result):
            return None
        return Kept(Key(source, question, content), found.result, found.job)

    def _question(self, prompt: str) -> str:
        """The recipe's key of ``prompt``; most jobs have one prompt for all items."""
        found = self._questions.get(prompt)
        if found is None:
            if len(self._questions) >= _PROMPTS_KEPT:
                self._questions.clear()
            found = self._questions[prompt] = self.recipe.question(prompt)
        return found

    def _again(self, result: ItemResult) -> bool:
        # What was asked about and abstained from would end so again.
        if self.force or (result.outcome is Outcome.SKIPPED and not result.attempts):
            return True
        failure = result.failure
        return failure is not None and (failure.by_a_limit or (failure.retryable and self.retry_failed))

    def _content(
        self, source: Source, known: Recalled | None, is_over: Callable[[], bool] | None
    ) -> tuple[str, SeenFile | None]:
        if is_link(source.location):
            return content_of_link(source.location, source.version), None
        stat = stat_of(source.location)
        if known is None:
            content = self.journal.known_content(source.name, source.location, stat)
        else:
            content = None if known.source is None else content_known(known.source, source.location, stat)
        if content is not None:
            return content, None
        return fingerprint(source.location, is_over)


def _is_other(found: Recorded | None, content: str) -> bool:
    return found is not None and found.content is not None and found.content != content
