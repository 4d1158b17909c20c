"""Photos and videos in, trusted text and data out, through vision-language models.

The public names are exactly those of ``__all__``. They are looked up at first use, so that importing the
package costs next to nothing: Pillow, OpenCV, numpy and httpx are loaded when something needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visionpipe.client._async.agents import AsyncAgents as AsyncAgents
    from visionpipe.client._async.applications import AsyncApplications as AsyncApplications
    from visionpipe.client._async.batches import AsyncBatches as AsyncBatches
    from visionpipe.client._async.client import AsyncClient as AsyncClient
    from visionpipe.client._async.conversation import AsyncConversation as AsyncConversation
    from visionpipe.client._async.files import AsyncFiles as AsyncFiles
    from visionpipe.client._async.stream import AsyncEventStream as AsyncEventStream
    from visionpipe.client._async.stream import AsyncObjectStream as AsyncObjectStream
    from visionpipe.client._async.stream import AsyncStream as AsyncStream
    from visionpipe.client._async.tasks import AsyncTask as AsyncTask
    from visionpipe.client._async.tasks import AsyncTasks as AsyncTasks
    from visionpipe.client._async.tuning import AsyncFineTuning as AsyncFineTuning
    from visionpipe.client._sync.agents import Agents as Agents
    from visionpipe.client._sync.applications import Applications as Applications
    from visionpipe.client._sync.batches import Batches as Batches
    from visionpipe.client._sync.client import Client as Client
    from visionpipe.client._sync.conversation import Conversation as Conversation
    from visionpipe.client._sync.files import Files as Files
    from visionpipe.client._sync.stream import EventStream as EventStream
    from visionpipe.client._sync.stream import ObjectStream as ObjectStream
    from visionpipe.client._sync.stream import Stream as Stream
    from visionpipe.client._sync.tasks import Task as Task
    from visionpipe.client._sync.tasks import Tasks as Tasks
    from visionpipe.client._sync.tuning import FineTuning as FineTuning
    from visionpipe.client.cache import AnswerCache as AnswerCache
    from visionpipe.client.observing import AttemptMade as AttemptMade
    from visionpipe.client.options import CallOptions as CallOptions
    from visionpipe.client.options import MediaSource as MediaSource
    from visionpipe.client.options import MediaSources as MediaSources
    from visionpipe.client.preparation import Fetch as Fetch
    from visionpipe.client.preparation import Prepared as Prepared
    from visionpipe.client.tool_loop import ToolLimits as ToolLimits
    from visionpipe.clips.cuts import SceneRules as SceneRules
    from visionpipe.clips.frames import At as At
    from visionpipe.clips.frames import Even as Even
    from visionpipe.clips.frames import Every as Every
    from visionpipe.clips.frames import KeyFrames as KeyFrames
    from visionpipe.clips.frames import PerScene as PerScene
    from visionpipe.clips.load import load_video as load_video
    from visionpipe.clips.still import thumbnail as thumbnail
    from visionpipe.errors import AccessError as AccessError
    from visionpipe.errors import AccountError as AccountError
    from visionpipe.errors import AnswerError as AnswerError
    from visionpipe.errors import AuthenticationError as AuthenticationError
    from visionpipe.errors import BadImageError as BadImageError
    from visionpipe.errors import BadVideoError as BadVideoError
    from visionpipe.errors import CapabilityError as CapabilityError
    from visionpipe.errors import ConfigurationError as ConfigurationError
    from visionpipe.errors import ConnectionFailedError as ConnectionFailedError
    from visionpipe.errors import ContentPolicyError as ContentPolicyError
    from visionpipe.errors import ContextLimitError as ContextLimitError
    from visionpipe.errors import EmptyAnswerError as EmptyAnswerError
    from visionpipe.errors import FetchError as FetchError
    from visionpipe.errors import FilteredAnswerError as FilteredAnswerError
    from visionpipe.errors import InputError as InputError
    from visionpipe.errors import InterruptedAnswerError as InterruptedAnswerError
    from visionpipe.errors import JournalError as JournalError
    from visionpipe.errors import MediaLimitError as MediaLimitError
    from visionpipe.errors import OutputError as OutputError
    from visionpipe.errors import ParameterError as ParameterError
    from visionpipe.errors import QuotaError as QuotaError
    from visionpipe.errors import RateLimitError as RateLimitError
    from visionpipe.errors import RejectedRequestError as RejectedRequestError
    from visionpipe.errors import ReplyTimeoutError as ReplyTimeoutError
    from visionpipe.errors import ServerError as ServerError
    from visionpipe.errors import ServiceError as ServiceError
    from visionpipe.errors import TooManyImagesError as TooManyImagesError
    from visionpipe.errors import UnexpectedError as UnexpectedError
    from visionpipe.errors import UnknownModelError as UnknownModelError
    from visionpipe.errors import UnreadableAnswerError as UnreadableAnswerError
    from visionpipe.errors import UnreadableSourceError as UnreadableSourceError
    from visionpipe.errors import UnsupportedError as UnsupportedError
    from visionpipe.errors import VisionPipeError as VisionPipeError
    from visionpipe.images.load import ImageSource as ImageSource
    from visionpipe.images.load import load_image as load_image
    from visionpipe.media import Frame as Frame
    from visionpipe.media import Image as Image
    from visionpipe.media import LinkedFile as LinkedFile
    from visionpipe.media import LinkedImage as LinkedImage
    from visionpipe.media import LinkedVideo as LinkedVideo
    from visionpipe.media import Video as Video
    from visionpipe.pipeline.answerer import Answer as Answer
    from visionpipe.pipeline.answerer import Answerer as Answerer
    from visionpipe.pipeline.answerer import Judgement as Judgement
    from visionpipe.pipeline.answerer import PreparedItem as PreparedItem
    from visionpipe.pipeline.budget import Amount as Amount
    from visionpipe.pipeline.budget import Caps as Caps
    from visionpipe.pipeline.events import BatchEvent as BatchEvent
    from visionpipe.pipeline.events import ItemEnded as ItemEnded
    from visionpipe.pipeline.events import LevelChanged as LevelChanged
    from visionpipe.pipeline.events import Progress as Progress
    from visionpipe.pipeline.events import RunEnded as RunEnded
    from visionpipe.pipeline.events import RunStarted as RunStarted
    from visionpipe.pipeline.events import RunStopping as RunStopping
    from visionpipe.pipeline.events import RunSummary as RunSummary
    from visionpipe.pipeline.events import ServiceBack as ServiceBack
    from visionpipe.pipeline.events import ServiceLost as ServiceLost
    from visionpipe.pipeline.gate import Bill as Bill
    from visionpipe.pipeline.gate import Gate as Gate
    from visionpipe.pipeline.gate import GateState as GateState
    from visionpipe.pipeline.gate import Lease as Lease
    from visionpipe.pipeline.job import Job as Job
    from visionpipe.pipeline.job_setup import BatchOptions as BatchOptions
    from visionpipe.pipeline.ledger import Key as Key
    from visionpipe.pipeline.ledger import Ledger as Ledger
    from visionpipe.pipeline.ledger import Sent as Sent
    from visionpipe.pipeline.limiter import Limiter as Limiter
    from visionpipe.pipeline.limiter import LimiterState as LimiterState
    from visionpipe.pipeline.limiter import Permit as Permit
    from visionpipe.pipeline.pipeline import Pipeline as Pipeline
    from visionpipe.pipeline.plan import Plan as Plan
    from visionpipe.pipeline.plan import PlanItem as PlanItem
    from visionpipe.pipeline.plan import PlanTotals as PlanTotals
    from visionpipe.pipeline.rows import RESULT_TYPE as RESULT_TYPE
    from visionpipe.pipeline.run import Run as Run
    from visionpipe.pipeline.worker import Worker as Worker
    from visionpipe.prompts import presets as presets
    from visionpipe.prompts.presets import Checks as Checks
    from visionpipe.prompts.presets import Preset as Preset
    from visionpipe.prompts.template import Template as Template
    from visionpipe.registry.estimates import Estimate as Estimate
    from visionpipe.registry.lookup import Registry as Registry
    from visionpipe.registry.records import EndpointRecord as EndpointRecord
    from visionpipe.registry.records import FileRules as FileRules
    from visionpipe.registry.records import ImageRules as ImageRules
    from visionpipe.registry.records import ModelRecord as ModelRecord
    from visionpipe.registry.records import Price as Price
    from visionpipe.registry.records import SamplingRules as SamplingRules
    from visionpipe.registry.records import ThinkingRules as ThinkingRules
    from visionpipe.registry.records import ThinkingSwitch as ThinkingSwitch
    from visionpipe.registry.records import TokenRules as TokenRules
    from visionpipe.registry.records import VideoRules as VideoRules
    from visionpipe.reply import Attempt as Attempt
    from visionpipe.reply import CachedAnswer as CachedAnswer
    from visionpipe.reply import Reply as Reply
    from visionpipe.reply import Source as Source
    from visionpipe.reply import ToolResult as ToolResult
    from visionpipe.request import Message as Message
    from visionpipe.request import Parameters as Parameters
    from visionpipe.request import Request as Request
    from visionpipe.request import ToolCall as ToolCall
    from visionpipe.results import Failure as Failure
    from visionpipe.results import ItemResult as ItemResult
    from visionpipe.results import Outcome as Outcome
    from visionpipe.sinks.opening import SinkOptions as SinkOptions
    from visionpipe.sinks.opening import open_sink as open_sink
    from visionpipe.sinks.sink import Sink as Sink
    from visionpipe.sinks.sink import export as export
    from visionpipe.sources.publish import FolderPublisher as FolderPublisher
    from visionpipe.sources.publish import FunctionPublisher as FunctionPublisher
    from visionpipe.sources.publish import Published as Published
    from visionpipe.sources.publish import Publisher as Publisher
    from visionpipe.sources.publish import StorePublisher as StorePublisher
    from visionpipe.sources.walking import Item as Item
    from visionpipe.stages.extraction import Extraction as Extraction
    from visionpipe.stages.extraction import Schema as Schema
    from visionpipe.stages.plain_text import TextForm as TextForm
    from visionpipe.stages.quality_policy import QualityPolicy as QualityPolicy
    from visionpipe.stages.retry import PollPolicy as PollPolicy
    from visionpipe.stages.retry import RetryPolicy as RetryPolicy
    from visionpipe.stages.tools import FunctionTool as FunctionTool
    from visionpipe.stages.tools import Retrieval as Retrieval
    from visionpipe.stages.tools import WebSearch as WebSearch
    from visionpipe.values import Adjustment as Adjustment
    from visionpipe.values import Money as Money
    from visionpipe.values import Note as Note
    from visionpipe.values import Timecode as Timecode
    from visionpipe.values import Usage as Usage
    from visionpipe.video.question import ClipAnswer as ClipAnswer
    from visionpipe.video.spans import WatchOptions as WatchOptions
    from visionpipe.video.timeline import Span as Span
    from visionpipe.video.timeline import Timeline as Timeline
    from visionpipe.wire.agents import AgentReply as AgentReply
    from visionpipe.wire.agents import AgentStatus as AgentStatus
    from visionpipe.wire.answers import Page as Page
    from visionpipe.wire.applications import ApplicationReply as ApplicationReply
    from visionpipe.wire.applications import FileKind as FileKind
    from visionpipe.wire.applications import FileReadiness as FileReadiness
    from visionpipe.wire.applications import UploadedFile as UploadedFile
    from visionpipe.wire.applications import Value as Value
    from visionpipe.wire.applications import Variable as Variable
    from visionpipe.wire.batches import BatchAnswer as BatchAnswer
    from visionpipe.wire.batches import BatchLimits as BatchLimits
    from visionpipe.wire.batches import BatchRecord as BatchRecord
    from visionpipe.wire.batches import BatchStatus as BatchStatus
    from visionpipe.wire.chat import TaskRecord as TaskRecord
    from visionpipe.wire.chat import TaskStatus as TaskStatus
    from visionpipe.wire.chat import TokenCount as TokenCount
    from visionpipe.wire.files import FileRecord as FileRecord
    from visionpipe.wire.http import AsyncByteStream as AsyncByteStream
    from visionpipe.wire.http import AsyncSender as AsyncSender
    from visionpipe.wire.http import Body as Body
    from visionpipe.wire.http import ByteStream as ByteStream
    from visionpipe.wire.http import HttpRequest as HttpRequest
    from visionpipe.wire.http import HttpResponse as HttpResponse
    from visionpipe.wire.http import Sender as Sender
    from visionpipe.wire.http import Timeouts as Timeouts
    from visionpipe.wire.tuning import TuningEvent as TuningEvent
    from visionpipe.wire.tuning import TuningJob as TuningJob

__version__ = "0.1.0"

_NAMES = {
    "visionpipe.client._async.agents": "AsyncAgents",
    "visionpipe.client._async.applications": "AsyncApplications",
    "visionpipe.client._async.batches": "AsyncBatches",
    "visionpipe.client._async.client": "AsyncClient",
    "visionpipe.client._async.conversation": "AsyncConversation",
    "visionpipe.client._async.files": "AsyncFiles",
    "visionpipe.client._async.stream": "AsyncEventStream AsyncObjectStream AsyncStream",
    "visionpipe.client._async.tasks": "AsyncTask AsyncTasks",
    "visionpipe.client._async.tuning": "AsyncFineTuning",
    "visionpipe.client._sync.agents": "Agents",
    "visionpipe.client._sync.applications": "Applications",
    "visionpipe.client._sync.batches": "Batches",
    "visionpipe.client._sync.client": "Client",
    "visionpipe.client._sync.conversation": "Conversation",
    "visionpipe.client._sync.files": "Files",
    "visionpipe.client._sync.stream": "EventStream ObjectStream Stream",
    "visionpipe.client._sync.tasks": "Task Tasks",
    "visionpipe.client._sync.tuning": "FineTuning",
    "visionpipe.client.cache": "AnswerCache",
    "visionpipe.client.observing": "AttemptMade",
    "visionpipe.client.options": "CallOptions MediaSource MediaSources",
    "visionpipe.client.preparation": "Fetch Prepared",
    "visionpipe.client.tool_loop": "ToolLimits",
    "visionpipe.clips.cuts": "SceneRules",
    "visionpipe.clips.load": "load_video",
    "visionpipe.clips.frames": "At Even Every KeyFrames PerScene",
    "visionpipe.errors": (
        "AccessError AccountError AnswerError AuthenticationError BadImageError BadVideoError "
        "CapabilityError ConfigurationError ConnectionFailedError ContentPolicyError ContextLimitError "
        "EmptyAnswerError FetchError FilteredAnswerError InputError InterruptedAnswerError JournalError "
        "MediaLimitError OutputError ParameterError QuotaError RateLimitError RejectedRequestError "
        "ReplyTimeoutError ServerError ServiceError TooManyImagesError UnexpectedError "
        "UnknownModelError UnreadableAnswerError UnreadableSourceError UnsupportedError VisionPipeError "
    ),
    "visionpipe.clips.still": "thumbnail",
    "visionpipe.images.load": "ImageSource load_image",
    "visionpipe.media": "Frame Image LinkedFile LinkedImage LinkedVideo Video",
    "visionpipe.pipeline.answerer": "Answer Answerer Judgement PreparedItem",
    "visionpipe.pipeline.budget": "Amount Caps",
    "visionpipe.pipeline.events": (
        "BatchEvent ItemEnded LevelChanged Progress RunEnded RunStarted RunStopping RunSummary ServiceBack "
        "ServiceLost "
    ),
    "visionpipe.pipeline.gate": "Bill Gate GateState Lease",
    "visionpipe.pipeline.job": "Job",
    "visionpipe.pipeline.job_setup": "BatchOptions",
    "visionpipe.pipeline.ledger": "Key Ledger Sent",
    "visionpipe.pipeline.limiter": "Limiter LimiterState Permit",
    "visionpipe.pipeline.pipeline": "Pipeline",
    "visionpipe.pipeline.plan": "Plan PlanItem PlanTotals",
    "visionpipe.pipeline.run": "Run",
    "visionpipe.pipeline.rows": "RESULT_TYPE",
    "visionpipe.pipeline.worker": "Worker",
    "visionpipe.prompts.presets": "Checks Preset presets",
    "visionpipe.prompts.template": "Template",
    "visionpipe.registry.lookup": "Registry",
    "visionpipe.registry.records": (
        "EndpointRecord FileRules ImageRules ModelRecord Price SamplingRules ThinkingRules "
        "ThinkingSwitch TokenRules VideoRules "
    ),
    "visionpipe.reply": "Attempt CachedAnswer Reply Source ToolResult",
    "visionpipe.request": "Message Parameters Request ToolCall",
    "visionpipe.results": "Failure ItemResult Outcome",
    "visionpipe.sinks.opening": "SinkOptions open_sink",
    "visionpipe.sinks.sink": "Sink export",
    "visionpipe.sources.walking": "Item",
    "visionpipe.sources.publish": ("FolderPublisher FunctionPublisher Published Publisher StorePublisher "),
    "visionpipe.registry.estimates": "Estimate",
    "visionpipe.stages.extraction": "Extraction Schema",
    "visionpipe.stages.plain_text": "TextForm",
    "visionpipe.stages.quality_policy": "QualityPolicy",
    "visionpipe.stages.retry": "PollPolicy RetryPolicy",
    "visionpipe.stages.tools": "FunctionTool Retrieval WebSearch",
    "visionpipe.values": "Adjustment Money Note Timecode Usage",
    "visionpipe.video.spans": "WatchOptions",
    "visionpipe.video.question": "ClipAnswer",
    "visionpipe.video.timeline": "Span Timeline",
    "visionpipe.wire.agents": "AgentReply AgentStatus",
    "visionpipe.wire.answers": "Page",
    "visionpipe.wire.applications": ("ApplicationReply FileKind FileReadiness UploadedFile Value Variable "),
    "visionpipe.wire.batches": "BatchAnswer BatchLimits BatchRecord BatchStatus",
    "visionpipe.wire.files": "FileRecord",
    "visionpipe.wire.http": (
        "AsyncByteStream AsyncSender Body ByteStream HttpRequest HttpResponse Sender Timeouts"
    ),
    "visionpipe.wire.chat": "TaskRecord TaskStatus TokenCount",
    "visionpipe.wire.tuning": "TuningEvent TuningJob",
}
"""Every public name, by the module it is had from."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOMES)


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
