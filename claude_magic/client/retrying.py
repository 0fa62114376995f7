"""When a failed request is sent again, and after how long: one policy for one request and for many."""

from __future__ import annotations

import random
import time

from .. import errors


def is_retryable(failure: errors.ClaudeError) -> bool:
    """Whether another attempt may help."""
    if isinstance(failure, errors.APIError):
        return failure.retryable
    return isinstance(failure, errors.ConnectionFailedError)


def delay_before(attempt: int, failure: errors.ClaudeError, max_wait: float) -> float:
    """Seconds until the next attempt: what the API asks for, else the SDK's own backoff (`_base_client.py`).

    `attempt` counts the retries so far. Raises the failure where that is longer than `max_wait` seconds.
    """
    asked = getattr(failure, "retry_after", None)
    delay = asked if asked is not None and asked > 0 else min(0.5 * 2.0**attempt, 8.0) * (1 - 0.25 * random.random())
    if delay > max_wait:
        form = "%H:%M:%S" if delay < 3600 else "%Y-%m-%d %H:%M"
        clock = time.strftime(form, time.localtime(time.time() + delay))
        failure.advice = f"It asks to come back in {delay:.0f} s, at {clock}; max_retry_wait is shorter than that."
        raise failure
    return float(delay)


def retry_reason(failure: errors.ClaudeError) -> str:
    """Why there is a pause, in two words."""
    reasons = {
        errors.RateLimitError: "rate limit",
        errors.OverloadedError: "overloaded",
        errors.ConnectionFailedError: "no connection",
    }
    return reasons.get(type(failure), "server error")
