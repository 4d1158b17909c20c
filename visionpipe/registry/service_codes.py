"""What the service's own error codes mean: code -> error class, reason and cure, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from visionpipe.errors import (
    AccessError,
    AccountError,
    AuthenticationError,
    ContentPolicyError,
    QuotaError,
    RateLimitError,
    RejectedRequestError,
    ServerError,
    ServiceError,
    UnknownModelError,
)


@dataclass(frozen=True, slots=True)
class ServiceCode:
    """What one of the service's error codes means for the caller."""

    error: type[ServiceError]
    reason: str
    cure: str
    retryable: bool = False


_KEY = "Check the API key, and that it belongs to this host."
_ACCOUNT = "Look at the account's state in the provider's console."
_BALANCE = "Top up the account, or check that the key's plan belongs to this base URL; then run again."
_WAIT_WINDOW = "Wait until the time named in the service's message, then run again."
_PLAN = "Check the plan in the provider's console, or choose another model."
_FORM = "See the service's message; `visionpipe check` shows what would be sent."
_LATER = "Try again in a moment."
_SLOWER = "Lower the concurrency, or try again in a moment."

SERVICE_CODES: dict[str, ServiceCode] = {
    "1000": ServiceCode(AuthenticationError, "the service could not authenticate the key", _KEY),
    "1001": ServiceCode(AuthenticationError, "no key arrived at the service", _KEY),
    "1002": ServiceCode(AuthenticationError, "the key is not valid", _KEY),
    "1003": ServiceCode(AuthenticationError, "the key or token has expired", _KEY),
    "1004": ServiceCode(AuthenticationError, "the key could not be verified", _KEY),
    "1005": ServiceCode(AuthenticationError, "the account needs a second factor", _ACCOUNT),
    "1100": ServiceCode(AccountError, "the account could not be read", _ACCOUNT),
    "1110": ServiceCode(AccountError, "the account is not active", _ACCOUNT),
    "1111": ServiceCode(AccountError, "the account does not exist", _ACCOUNT),
    "1112": ServiceCode(AccountError, "the account is locked", _ACCOUNT),
    "1113": ServiceCode(AccountError, "the account has no balance or resource pack for this call", _BALANCE),
    "1120": ServiceCode(AccountError, "the account cannot be reached at the moment", _LATER),
    "1121": ServiceCode(AccountError, "the account is locked for a violation", _ACCOUNT),
    "1200": ServiceCode(ServerError, "the call failed inside the service", _LATER, retryable=True),
    "1210": ServiceCode(RejectedRequestError, "a parameter or an image's form was refused", _FORM),
    "1211": ServiceCode(UnknownModelError, "the model does not exist here", "See `visionpipe models`."),
    "1212": ServiceCode(RejectedRequestError, "the model does not support this way of calling", _FORM),
    "1213": ServiceCode(RejectedRequestError, "a required field is missing", _FORM),
    "1214": ServiceCode(RejectedRequestError, "a field has an illegal value", _FORM),
    "1215": ServiceCode(RejectedRequestError, "two fields exclude one another", _FORM),
    "1220": ServiceCode(AccessError, "the account has no right to this API", _ACCOUNT),
    "1221": ServiceCode(AccessError, "this API is offline", "Choose another model or endpoint."),
    "1222": ServiceCode(AccessError, "this API does not exist", "Check the base URL."),
    "1230": ServiceCode(ServerError, "the call failed inside the service", _LATER, retryable=True),
    "1231": ServiceCode(RejectedRequestError, "this request_id was used before", "Send it with a new one."),
    "1234": ServiceCode(ServerError, "the service met a network error", _LATER, retryable=True),
    "1261": ServiceCode(
        RejectedRequestError, "the prompt is too long", "Send fewer or smaller images, or less text."
    ),
    "1300": ServiceCode(ContentPolicyError, "a policy blocked the call", "Leave this item out."),
    "1301": ServiceCode(ContentPolicyError, "the content was found sensitive", "Leave this item out."),
    "1302": ServiceCode(RateLimitError, "too many requests at once", _SLOWER, retryable=True),
    "1303": ServiceCode(RateLimitError, "requests come too often", _SLOWER, retryable=True),
    "1304": ServiceCode(QuotaError, "the daily limit is reached", "Run again tomorrow."),
    "1305": ServiceCode(RateLimitError, "the platform is overloaded", _SLOWER, retryable=True),
    "1308": ServiceCode(QuotaError, "the usage window is spent", _WAIT_WINDOW),
    "1309": ServiceCode(QuotaError, "the plan has expired", _PLAN),
    "1310": ServiceCode(QuotaError, "the usage window is spent", _WAIT_WINDOW),
    "1311": ServiceCode(AccessError, "the model is not in the plan", _PLAN),
    "1312": ServiceCode(RateLimitError, "the model is overloaded", _SLOWER, retryable=True),
    "1313": ServiceCode(QuotaError, "the plan's fair-use limit is reached", _PLAN),
    "1314": ServiceCode(AccessError, "the enterprise plan does not allow this", _PLAN),
    "1315": ServiceCode(AccessError, "the key is of a kind this API does not take", _KEY),
    **{
        str(code): ServiceCode(QuotaError, "the usage window is spent", _WAIT_WINDOW)
        for code in range(1316, 1322)
    },
    "1701": ServiceCode(RateLimitError, "the web search is busy", _LATER, retryable=True),
    "1702": ServiceCode(RejectedRequestError, "no web search engine is available", _FORM),
    "1703": ServiceCode(RejectedRequestError, "the web search found nothing", _FORM),
}
"""BigModel's documented codes (docs.bigmodel.cn/cn/faq/api-code, read 2026-09). Codes not listed here are
classed by HTTP status."""
