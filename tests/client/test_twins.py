"""Whatever the synchronous services offer, the asyncio ones offer too, with the same arguments."""

from __future__ import annotations

import inspect

import pytest

from visionpipe.client import AsyncClient, Client
from visionpipe.client._async.agents import AsyncAgents
from visionpipe.client._async.applications import AsyncApplications
from visionpipe.client._async.batches import AsyncBatches
from visionpipe.client._async.files import AsyncFiles
from visionpipe.client._async.tasks import AsyncTask, AsyncTasks
from visionpipe.client._async.tuning import AsyncFineTuning
from visionpipe.client._sync.agents import Agents
from visionpipe.client._sync.applications import Applications
from visionpipe.client._sync.batches import Batches
from visionpipe.client._sync.files import Files
from visionpipe.client._sync.tasks import Task, Tasks
from visionpipe.client._sync.tuning import FineTuning

PAIRS: list[tuple[type, type]] = [
    (Client, AsyncClient),
    (Tasks, AsyncTasks),
    (Task, AsyncTask),
    (Files, AsyncFiles),
    (Batches, AsyncBatches),
    (Agents, AsyncAgents),
    (Applications, AsyncApplications),
    (FineTuning, AsyncFineTuning),
]


def offered(kind: type) -> dict[str, list[tuple[str, object]]]:
    """Public names, with the parameters of those that are called."""
    found = {}
    for name, value in inspect.getmembers(kind):
        if name.startswith("_"):
            continue
        parameters = inspect.signature(value).parameters.values() if inspect.isfunction(value) else ()
        found[name] = [(parameter.name, parameter.default) for parameter in parameters]
    return found


@pytest.mark.parametrize(("sync", "awaited"), PAIRS, ids=lambda kind: str(kind.__name__))
def test_the_asyncio_twin_offers_the_same(sync: type, awaited: type) -> None:
    assert offered(sync) == offered(awaited)
    assert offered(sync)
