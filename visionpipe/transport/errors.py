"""What went wrong on the way, in the library's own words.

An exception of httpx, h11 or the operating system never leaves the transport except as a cause.
What matters is whether a byte of the answer had come: before it nothing may have been done and the request
can be sent again; after it the service has worked.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator

import h11

from visionpipe.errors import (
    ConnectionFailedError,
    InterruptedAnswerError,
    ParameterError,
    ReplyTimeoutError,
    UnreadableAnswerError,
    VisionPipeError,
)
from visionpipe.transport.httpx_library import httpx
from visionpipe.wire.secrets import redact

_LATER = "Check the network, or try again in a moment."
_PATIENCE = "Allow a longer timeout, or ask for less; the service may have billed this request."
_BASE_URL = "Check the base URL and that the server runs."


class AnswerCutError(httpx.RemoteProtocolError):
    """The server closed or reset the connection inside the answer's head."""


class TimeUpError(httpx.ReadTimeout):
    """The whole exchange took longer than it may."""


def before_answer(error: Exception, host: str, secrets: Iterable[str] = ()) -> VisionPipeError:
    """The error to raise where an exchange with ``host`` failed before the answer's head was complete."""
    words = redact(str(error), secrets) or type(error).__name__
    if isinstance(error, httpx.LocalProtocolError):
        return ParameterError(
            "a header has characters that headers cannot have",
            cure="Encode or leave out that header.",
            subject=host,
        )
    if isinstance(error, httpx.ReadTimeout):
        return ReplyTimeoutError(
            "no answer came in time",
            cure=_PATIENCE,
            subject=host,
        )
    if isinstance(error, AnswerCutError):
        return in_answer(error, host, secrets)
    if isinstance(error, httpx.RemoteProtocolError) and _caused_by(error, h11.RemoteProtocolError):
        return UnreadableAnswerError(
            f"the answer is not HTTP ({words})",
            cure="Check the base URL: its port, and whether it begins with http or https.",
            subject=host,
            code="not_http",
        )
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectionFailedError("the connection was not made in time", cure=_LATER, subject=host)
    if isinstance(error, httpx.WriteTimeout):
        return ConnectionFailedError("the server stopped taking the request", cure=_LATER, subject=host)
    if isinstance(error, httpx.ProxyError):
        return ConnectionFailedError(
            f"the proxy refused the connection ({words})",
            cure="Check the proxy's address and credentials.",
            subject=host,
        )
    if _caused_by(error, ssl.SSLCertVerificationError):
        return ConnectionFailedError(
            f"the server's certificate is not trusted ({words})",
            cure="Check the base URL; for a private authority, name its certificate with SSL_CERT_FILE.",
            subject=host,
            retryable=False,
        )
    if _caused_by(error, ssl.SSLError):
        return ConnectionFailedError(
            f"no secure connection could be made ({words})",
            cure="Check the port, and whether the base URL begins with http or https.",
            subject=host,
        )
    if _caused_by(error, socket.gaierror):
        return ConnectionFailedError(
            "the host's name could not be resolved", cure="Check the base URL and the network.", subject=host
        )
    if _caused_by(error, ConnectionRefusedError):
        return ConnectionFailedError("nothing listens there", cure=_BASE_URL, subject=host)
    if isinstance(error, httpx.ConnectError):
        return ConnectionFailedError(
            f"the connection could not be made ({words})", cure=_BASE_URL, subject=host
        )
    return ConnectionFailedError(
        f"the connection broke before an answer came ({words})", cure=_LATER, subject=host
    )


def in_answer(error: Exception, host: str, secrets: Iterable[str] = ()) -> VisionPipeError:
    """The error to raise where an answer from ``host`` broke off after its first byte."""
    if isinstance(error, httpx.DecodingError):
        return UnreadableAnswerError(
            "the answer's compression is damaged", cure="Try again in a moment.", subject=host
        )
    if isinstance(error, TimeUpError):
        reason = "the answer did not end in time"
    elif isinstance(error, httpx.TimeoutException):
        reason = "the answer stalled"
    else:
        reason = f"the answer broke off ({redact(str(error), secrets) or type(error).__name__})"
    return InterruptedAnswerError(
        reason,
        cure="Try again; the service may have billed this request.",
        subject=host,
    )


def in_whole_answer(error: Exception, host: str, secrets: Iterable[str] = ()) -> VisionPipeError:
    """As ``in_answer``, for one that is of use only as a whole: once the time is up there is none."""
    if isinstance(error, TimeUpError):
        return ReplyTimeoutError("the whole answer did not come in time", cure=_PATIENCE, subject=host)
    return in_answer(error, host, secrets)


def too_long(host: str, limit: int) -> UnreadableAnswerError:
    """The error for an answer of more than ``limit`` bytes."""
    return UnreadableAnswerError(
        f"the answer is longer than {limit} bytes",
        cure="Check that the base URL is that of a model service.",
        subject=host,
        code="answer_too_long",
    )


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(link, kind) for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
