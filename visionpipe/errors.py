"""Every error a caller can meet, and what the service's own codes mean.

    VisionPipeError
    ├── InputError                    the caller's file, URL, argument or setting
    │   ├── UnreadableSourceError         missing, vanished, no permission, a folder where a file is meant
    │   ├── BadImageError                 empty, truncated, corrupt, not an image, decompression bomb
    │   ├── BadVideoError                 the same for clips
    │   ├── FetchError                    a URL refused, too large, too slow, or not there
    │   ├── JournalError                  held by another run, damaged, or not to be written      (job)
    │   ├── ParameterError                an argument out of its range
    │   ├── OutputError                   results cannot be written: a full disk, no permission   (job)
    │   └── ConfigurationError            a missing key or extra, an unreadable overlay           (job)
    ├── CapabilityError               the model cannot take this, known before a request is spent
    │   ├── TooManyImagesError            more images than the model takes
    │   ├── MediaLimitError               bytes, pixels or seconds over a limit and repair not allowed
    │   ├── UnsupportedError              a kind of media, tool or parameter the model does not know
    │   └── ContextLimitError             estimated input over context - max output
    ├── ServiceError                  the endpoint refused, failed or was out of reach
    │   ├── AuthenticationError           wrong, missing or expired key                           (job)
    │   ├── AccountError                  no balance, locked or inactive account                  (job)
    │   ├── QuotaError                    a daily limit or a plan's window is spent               (job)
    │   ├── AccessError                   no right to this API or model                           (job)
    │   ├── UnknownModelError             the endpoint does not know the model                    (job)
    │   ├── RejectedRequestError          the request's form was refused
    │   ├── ContentPolicyError            the content was refused
    │   ├── RateLimitError                too many at once, or the model is overloaded      retryable
    │   ├── ServerError                   5xx and its kin                                   retryable
    │   ├── ConnectionFailedError         broken before the first byte of an answer         retryable
    │   └── ReplyTimeoutError             no answer in time; it may have been billed
    ├── AnswerError                   an answer came, and cannot be used
    │   ├── EmptyAnswerError              no text
    │   ├── FilteredAnswerError           filtered by the service, or refused by the model
    │   ├── InterruptedAnswerError        cut off; carries the partial reply
    │   └── UnreadableAnswerError         not what the protocol or the schema promises
    └── UnexpectedError               in a job: a mistake here or in a function it was given  retryable

An error says whose fault it is and what to do next. ``scope`` is "job" where every further
item would meet the same end, so the whole run stops; everywhere else only the item fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict, Unpack

if TYPE_CHECKING:
    from visionpipe.reply import Reply

Scope = Literal["item", "job"]

DISTRIBUTION = "visionpipe-vlm"
"""What the package index calls this library; it is imported as ``visionpipe``."""


class Details(TypedDict, total=False):
    """What an error may say besides its reason and cure; see ``VisionPipeError``."""

    subject: str | None
    code: str | None
    request_id: str | None
    retryable: bool | None
    scope: Scope | None


class VisionPipeError(Exception):
    """Base of all errors of this library.

    Args:
        reason: what is wrong, one clause without a full stop.
        cure: what to do next, one sentence.
        details: the attributes of these names.

    Attributes:
        subject: the file, URL, model or argument concerned.
        code: a stable word (``"truncated"``) or the service's own code (``"1302"``).
        request_id: the id sent with the request concerned.
        retryable: whether the same thing may succeed later, unchanged.
        scope: ``"item"`` or ``"job"`` (stop everything).
        attempts: how many times a request was sent before this error was final.
    """

    default_code: ClassVar[str] = "error"
    default_retryable: ClassVar[bool] = False
    default_scope: ClassVar[Scope] = "item"

    def __init__(self, reason: str, *, cure: str, **details: Unpack[Details]) -> None:
        self.reason = reason
        self.cure = cure
        subject, code = details.get("subject"), details.get("code")
        retryable, scope = details.get("retryable"), details.get("scope")
        self.subject = subject
        self.code = self.default_code if code is None else code
        self.request_id = details.get("request_id")
        self.retryable = self.default_retryable if retryable is None else retryable
        self.scope: Scope = self.default_scope if scope is None else scope
        self.attempts = 0
        super().__init__(f"{subject}: {reason}. {cure}" if subject else f"{reason}. {cure}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling, and workers send errors home.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[VisionPipeError], args: tuple[Any, ...], state: dict[str, Any]) -> VisionPipeError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InputError(VisionPipeError):
    """What the caller gave cannot be used."""

    default_code = "input"


class UnreadableSourceError(InputError):
    """The file is missing, vanished, forbidden, or not a file. It may be there another time, hence
    retryable."""

    default_code = "unreadable"
    default_retryable = True


class BadImageError(InputError):
    """The bytes are no usable image; ``code`` is empty, truncated, corrupt, not_an_image or bomb."""

    default_code = "corrupt"


class BadVideoError(InputError):
    """The bytes are no usable video; ``code`` is empty, truncated, corrupt, not_a_video or no_picture."""

    default_code = "corrupt"


class FetchError(InputError):
    """A URL could not be fetched; ``code`` is refused_address, too_large, timeout, status or network."""

    default_code = "fetch"


class JournalError(InputError):
    """A run's journal cannot be used; ``code`` is disk_full, locked, unwritable or damaged."""

    default_code = "unwritable"
    default_scope = "job"


class ParameterError(InputError):
    """An argument is out of its range or contradicts another. Nothing is clamped."""

    default_code = "parameter"


class ConfigurationError(InputError):
    """A setting, key or optional package is missing or unusable: every item would fail alike."""

    default_code = "configuration"
    default_scope = "job"


def install_command(extra: str) -> str:
    """What to type for one of the distribution's extras, such as ``parquet``."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing_extra(
    need: str, extra: str, *, subject: str | None = None, scope: Scope = "job"
) -> ConfigurationError:
    """The error for an optional package that is not there.

    Args:
        need: what needs which package: ``"writing Parquet needs pyarrow"``.
        extra: the extra of the distribution that brings it.
        subject: the file or setting concerned.
        scope: ``"item"`` where other items can do without it.
    """
    return ConfigurationError(
        f"{need}, which is not installed",
        cure=f"Install it: {install_command(extra)}",
        subject=subject,
        code="missing_extra",
        scope=scope,
    )


class OutputError(InputError):
    """Results cannot be written where they should go; ``code`` is disk_full, or output for other causes.
    With ``scope`` "item" only this item's file is concerned (collision, bad_sidecar, source_missing)."""

    default_code = "output"
    default_scope = "job"


class CapabilityError(VisionPipeError):
    """The model's record says that this cannot work, so no request is spent."""

    default_code = "capability"


class TooManyImagesError(CapabilityError):
    """More images than the model takes in one request."""

    default_code = "too_many_images"


class MediaLimitError(CapabilityError):
    """Bytes, pixels or seconds beyond the model's limit, where repair is off or impossible."""

    default_code = "media_limit"


class UnsupportedError(CapabilityError):
    """The model or endpoint does not take this kind of media, tool or parameter."""

    default_code = "unsupported"


class ContextLimitError(CapabilityError):
    """The estimated input is over the context less the output asked for."""

    default_code = "context_limit"


class ServiceError(VisionPipeError):
    """The endpoint refused, failed, or could not be reached.

    ``status`` is the HTTP status (None where no answer came), ``service_message`` the service's own
    words, ``retry_after`` the seconds it asked to wait (None where it did not say).
    """

    default_code = "service"

    def __init__(
        self,
        reason: str,
        *,
        cure: str,
        status: int | None = None,
        service_message: str = "",
        retry_after: float | None = None,
        **details: Unpack[Details],
    ) -> None:
        super().__init__(reason, cure=cure, **details)
        self.status = status
        self.service_message = service_message
        self.retry_after = retry_after


class AuthenticationError(ServiceError):
    """The key is wrong, missing, expired, or of another host."""

    default_code = "authentication"
    default_scope = "job"


class AccountError(ServiceError):
    """The account has no balance, or is locked or inactive."""

    default_code = "account"
    default_scope = "job"


class QuotaError(ServiceError):
    """A daily limit or a plan's window is spent; the service's message says when it opens again."""

    default_code = "quota"
    default_scope = "job"


class AccessError(ServiceError):
    """The account has no right to this API or model."""

    default_code = "access"
    default_scope = "job"


class UnknownModelError(ServiceError):
    """The endpoint does not know the model."""

    default_code = "unknown_model"
    default_scope = "job"


class RejectedRequestError(ServiceError):
    """The service refused the request's form."""

    default_code = "rejected"


class ContentPolicyError(ServiceError):
    """The service refused the content; only this item is concerned."""

    default_code = "content_policy"


class RateLimitError(ServiceError):
    """Too many requests at once, or the model is overloaded; slow down and try again."""

    default_code = "rate_limit"
    default_retryable = True


class ServerError(ServiceError):
    """The service failed on its side."""

    default_code = "server"
    default_retryable = True


class ConnectionFailedError(ServiceError):
    """The connection failed before the first byte of an answer."""

    default_code = "connection"
    default_retryable = True


class ReplyTimeoutError(ServiceError):
    """No answer in time. The service may have worked on it (and billed it), so the library does not
    send it again by itself; whether to do so is the caller's choice, hence retryable."""

    default_code = "timeout"
    default_retryable = True


class AnswerError(VisionPipeError):
    """An answer came and cannot be used. ``reply`` holds what there is of it."""

    default_code = "answer"

    def __init__(
        self, reason: str, *, cure: str, reply: Reply | None = None, **details: Unpack[Details]
    ) -> None:
        super().__init__(reason, cure=cure, **details)
        self.reply = reply


class EmptyAnswerError(AnswerError):
    """The model returned no text."""

    default_code = "empty_answer"
    default_retryable = True


class FilteredAnswerError(AnswerError):
    """The service filtered its answer (``finish_reason`` sensitive, content_filter and their like), or the
    model refused (``message.refusal``)."""

    default_code = "filtered_answer"


class InterruptedAnswerError(AnswerError):
    """The answer broke off: the stream was cut or stalled, or ``finish_reason`` is network_error, error or
    abort."""

    default_code = "interrupted_answer"
    default_retryable = True


class UnreadableAnswerError(AnswerError):
    """The answer is not what the protocol or the asked-for schema promises."""

    default_code = "unreadable_answer"


class UnexpectedError(VisionPipeError):
    """One item of a job met what nobody foresaw: a mistake in this library, or in a function that the job was
    given. ``__cause__`` is what was raised."""

    default_code = "unexpected"
    default_retryable = True
