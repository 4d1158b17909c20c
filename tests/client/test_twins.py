"""Whatever the synchronous services offer, the asyncio ones offer too, with the same arguments."""

from __future__ import annotations

import inspect

import pytest

from visionpipe.client.async_client import AsyncClient
from visionpipe.client.client import Client
from visionpipe.client.service.agents import Agents, AsyncAgents
from visionpipe.client.service.applications import Applications, AsyncApplications
from visionpipe.client.service.batches import AsyncBatches, Batches
from visionpipe.client.service.files import AsyncFiles, Files
from visionpipe.client.service.tasks import AsyncTask, AsyncTasks, Task, Tasks
from visionpipe.client.service.tuning import AsyncFineTuning, FineTuning
from visionpipe.client.services import AsyncServices, Services

PAIRS: list[tuple[type, type]] = [
    (Client, AsyncClient),
    (Services, AsyncServices),
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
