"""The same job through the service's batch files: half the price, and answers within a day.

    batch = ProviderBatch(presets.alt_text, client=Client("glm-4v-plus"), journal="alt.journal")
    for result in batch.run("photos/"):
        print(result.source, result.caption)

The rules: recipe, journal and results are those of :class:`visionpipe.pipeline.pipeline.Pipeline`, so either
goes on with what the other has done. Whenever a run ends, by itself or by a kill, the same call goes on from
the step it had come to: nothing is uploaded, asked or billed twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from visionpipe.client.client import Client
from visionpipe.client.options import CallOptions
from visionpipe.client.surfaces import require
from visionpipe.pipeline.answerer import Judge, Skip
from visionpipe.pipeline.client_answerer import ClientAnswerer
from visionpipe.pipeline.journal import Journal
from visionpipe.pipeline.prompting import Prompt, prompt_text, renderer
from visionpipe.pipeline.provider_batch_courier import Courier
from visionpipe.pipeline.provider_batch_results import ReadData
from visionpipe.pipeline.provider_batch_run import BatchEvent, BatchJob, BatchRun
from visionpipe.pipeline.provider_batch_shelf import Shelf
from visionpipe.pipeline.recipe import Recipe
from visionpipe.pipeline.screen import Screen
from visionpipe.pipeline.sources import Listing, Sources
from visionpipe.prompts.presets import Language
from visionpipe.stages.polling import LONG, PollPolicy
from visionpipe.wire.batch_lines import MOST_LINES, BatchLimits


class ProviderBatch:
    """A job over many images, through batch files.

    Args:
        prompt: words, a template with fields, or a preset.
        client: of an endpoint with batches; its model is asked.
        journal: the SQLite file that keeps the job, and how far each batch has come.
        options: for every call, see :class:`visionpipe.client.options.CallOptions`.
        folder: for files on their way; default beside the journal. At most one batch file and its results
            lie there at a time.
        limits: of a batch file; default 50,000 lines (fewer where the model's queue is shorter) and 100 MB.
        judge: judges answers; nobody is asked again within a batch, so "reask" keeps the answer.
        read: from an answer's text to its structured data.
        skip: says why not to ask about an item.
        sidecar: from a source's name to its sidecar's; names that collide are found before anything runs.
        retry_failed: ask again about recorded failures that may pass.
        force: ask again about everything.
        wait: False hands everything in and leaves; a later run collects.
        lang: the language of a preset's prompt; default the client's.
        policy: how long to wait between two questions after a batch.
        on_event: told how far each file has come.
        clock: seconds since 1970.
        sleep: waits for seconds; default one that :meth:`BatchRun.stop` ends.

    Raises:
        UnsupportedError: the endpoint takes no batches; the cure names one that does.
    """

    def __init__(
        self,
        prompt: Prompt,
        *,
        client: Client,
        journal: str | os.PathLike[str],
        options: CallOptions | None = None,
        folder: str | os.PathLike[str] | None = None,
        limits: BatchLimits | None = None,
        judge: Judge | None = None,
        read: ReadData | None = None,
        skip: Skip | None = None,
        sidecar: Callable[[str], str] | None = None,
        retry_failed: bool = False,
        force: bool = False,
        wait: bool = True,
        lang: Language | None = None,
        policy: PollPolicy = LONG,
        on_event: Callable[[BatchEvent], object] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        require(client.settings, "batches")
        self._prompt = prompt
        self._client = client
        self._journal = Path(journal)
        self._options: CallOptions = options or {}
        self._folder = Path(folder) if folder is not None else Path(f"{os.fspath(journal)}.batch")
        self._limits = limits
        self._judge = judge
        self._read = read
        self._skip = skip
        self._sidecar = sidecar
        self._retry_failed = retry_failed
        self._force = force
        self._wait = wait
        self._lang = lang
        self._policy = policy
        self._on_event = on_event
        self._clock = clock
        self._sleep = sleep

    def run(self, sources: Listing) -> BatchRun:
        """A pass over ``sources``: iterate it once. Every item comes out once, as its batch ends.

        Args:
            sources: a folder, glob, file, URL, list of these, or items found already.

        Raises (when iterated):
            VisionPipeError: of scope "job", or a step that failed; the same call goes on from there.
        """
        listing = Sources(sources)

        def open_job(sleep: Callable[[float], object]) -> BatchJob:
            if self._sidecar is not None:
                listing.refuse_collisions(self._sidecar)
            return self._open(listing, self._sleep or sleep)

        return BatchRun(open_job, self._on_event, self._clock)

    def _open(self, listing: Sources, sleep: Callable[[float], object]) -> BatchJob:
        settings = self._client.settings
        language = self._lang or settings.lang
        parameters = {name: value for name, value in self._options.items() if name != "model"}
        asked = self._options.get("model", settings.model.id)
        model = settings.registry.model(asked, settings.endpoint.id)
        recipe = Recipe(asked, prompt_text(self._prompt, language), parameters)
        journal = Journal(self._journal)
        try:
            journal.begin(recipe)
            shelf = Shelf(journal.database, recipe.job)
            screen = Screen(
                journal=journal,
                recipe=recipe,
                render=renderer(self._prompt, language),
                skip=self._skip,
                run=journal.run,
                retry_failed=self._retry_failed,
                force=self._force,
            )
        except BaseException:
            journal.close()
            raise
        longest = min(MOST_LINES, model.batch_queue or MOST_LINES)
        return BatchJob(
            client=self._client,
            model=model,
            sources=iter(listing),
            journal=journal,
            screen=screen,
            answerer=ClientAnswerer(self._client, self._options),
            shelf=shelf,
            courier=Courier(self._client, shelf, self._folder, sleep),
            limits=self._limits or BatchLimits(lines=longest),
            judge=self._judge,
            read=self._read,
            wait=self._wait,
            policy=self._policy,
            sleep=sleep,
        )
