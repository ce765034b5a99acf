"""How often: counted in Redis over a window that moves on, for all processes together.

Without Redis each process counts for itself, its share of what is allowed: nobody is let through uncounted.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from almagest.core import redis
from almagest.core.settings import Settings

log = structlog.get_logger(__name__)

#: Redis is asked so long, and not again for so long where it did not answer [s].
_PATIENCE_S, _REST_S = 0.5, 5.0


@dataclass(frozen=True)
class Allowance:
    """What is left.

    Attributes:
        is_left: whether this one was within it.
        most: how many there are.
        per_s: within so long [s].
        remaining: how many are left.
        reset_s: when there is one more [s].
    """

    is_left: bool
    most: int
    per_s: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        """As a client is told."""
        told = {
            "RateLimit-Limit": str(self.most),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
            "RateLimit-Policy": f"{self.most};w={self.per_s}",
        }
        return told if self.is_left else {**told, "Retry-After": str(self.reset_s)}


class Limiter:
    """Counts.

    Attributes:
        counts: how often somebody was over a limit, and how often Redis was not there to count.
    """

    def __init__(self, settings: Settings) -> None:
        self.counts: Counter[str] = Counter({"refused": 0, "without_redis": 0})
        self._address = redis.address(settings, "redis+unix").replace("redis", "async+redis", 1)
        self._shares = settings.site.ops_workers
        self._shared: MovingWindowRateLimiter | None = None
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._rests_until = 0.0

    async def take(self, what: str, who: str, most: int, per: timedelta) -> Allowance:
        """Counts one more, if there is one left."""
        per_s = max(math.ceil(per.total_seconds()), 1)
        allowance = None
        if time.monotonic() >= self._rests_until:
            try:
                allowance = await _take(self._ours(), what, who, most, per_s)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("requests are counted by each process for itself", reason=str(error))
                self._rests_until = time.monotonic() + _REST_S
        if allowance is None:
            self.counts["without_redis"] += 1
            # Rounded down: together they let through no more than is allowed, but each of them one.
            allowance = await _take(self._own, what, who, max(most // self._shares, min(most, 1)), per_s)
        if not allowance.is_left:
            self.counts["refused"] += 1
        return allowance

    async def forgive(self, what: str, who: str, most: int, per: timedelta) -> None:
        """Forgets what was counted."""
        item = RateLimitItemPerSecond(most, max(math.ceil(per.total_seconds()), 1), namespace=what)
        await self._own.clear(item, who)
        if time.monotonic() >= self._rests_until:
            with suppress(RedisError, OSError, TimeoutError):
                await self._ours().clear(item, who)

    async def close(self) -> None:
        """Closes what is open."""
        if self._shared is not None:
            await _storage(self._shared).bridge.storage.aclose()  # type: ignore[attr-defined]
            self._shared = None

    def _ours(self) -> MovingWindowRateLimiter:
        if self._shared is None:
            self._shared = MovingWindowRateLimiter(
                RedisStorage(
                    self._address,
                    implementation="redispy",
                    key_prefix="almagest",
                    socket_timeout=_PATIENCE_S,
                    socket_connect_timeout=_PATIENCE_S,
                )
            )
        return self._shared


def _storage(limiter: MovingWindowRateLimiter) -> Storage:
    storage: Storage = limiter.storage
    return storage


async def _take(limiter: MovingWindowRateLimiter, what: str, who: str, most: int, per_s: int) -> Allowance:
    if most < 1:
        return Allowance(False, most, per_s, 0, per_s)
    item = RateLimitItemPerSecond(most, per_s, namespace=what)
    is_left = await limiter.hit(item, who)
    reset, remaining = await limiter.get_window_stats(item, who)
    return Allowance(is_left, most, per_s, max(remaining, 0), max(math.ceil(reset - time.time()), 1))
