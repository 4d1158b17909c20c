"""Photos and videos in, trusted text and data out, through vision-language models.

The public names are exactly those of ``__all__``. They are looked up at first use, so that importing the
package costs next to nothing: Pillow, OpenCV, numpy and httpx are loaded when something needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionpipe.client import AsyncClient, Client
    from visionpipe.client.tool_loop import ToolLimits
    from visionpipe.errors import (
        AnswerError,
        CapabilityError,
        InputError,
        ServiceError,
        VisionPipeError,
    )
    from visionpipe.pipeline.batch.job import ProviderBatch
    from visionpipe.pipeline.budget import Caps
    from visionpipe.pipeline.pipeline import Pipeline
    from visionpipe.prompts import presets
    from visionpipe.registry.lookup import Registry
    from visionpipe.reply import Reply
    from visionpipe.stages.function_tool import FunctionTool
    from visionpipe.stages.quality import QualityPolicy
    from visionpipe.stages.retry import RetryPolicy
    from visionpipe.stages.tools import Retrieval, WebSearch
    from visionpipe.video.options import WatchOptions
    from visionpipe.video.timeline import Timeline
    from visionpipe.wire.http import Timeouts

__version__ = "0.1.0"

_HOMES = {
    "AnswerError": "visionpipe.errors",
    "AsyncClient": "visionpipe.client._async.client",
    "CapabilityError": "visionpipe.errors",
    "Caps": "visionpipe.pipeline.budget",
    "Client": "visionpipe.client._sync.client",
    "FunctionTool": "visionpipe.stages.function_tool",
    "InputError": "visionpipe.errors",
    "Pipeline": "visionpipe.pipeline.pipeline",
    "ProviderBatch": "visionpipe.pipeline.batch.job",
    "QualityPolicy": "visionpipe.stages.quality",
    "Registry": "visionpipe.registry.lookup",
    "Reply": "visionpipe.reply",
    "Retrieval": "visionpipe.stages.tools",
    "RetryPolicy": "visionpipe.stages.retry",
    "ServiceError": "visionpipe.errors",
    "Timeline": "visionpipe.video.timeline",
    "Timeouts": "visionpipe.wire.http",
    "ToolLimits": "visionpipe.client.tool_loop",
    "VisionPipeError": "visionpipe.errors",
    "WatchOptions": "visionpipe.video.options",
    "WebSearch": "visionpipe.stages.tools",
    "presets": "visionpipe.prompts.presets",
}

__all__ = [
    "AnswerError",
    "AsyncClient",
    "CapabilityError",
    "Caps",
    "Client",
    "FunctionTool",
    "InputError",
    "Pipeline",
    "ProviderBatch",
    "QualityPolicy",
    "Registry",
    "Reply",
    "Retrieval",
    "RetryPolicy",
    "ServiceError",
    "Timeline",
    "Timeouts",
    "ToolLimits",
    "VisionPipeError",
    "WatchOptions",
    "WebSearch",
    "presets",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'visionpipe' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home.endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
