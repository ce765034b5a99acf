"""Delivers what stands in the outbox, from threads of its own: whoever is called may take his time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import orjson
import psycopg
import structlog
from psycopg_pool import ConnectionPool

from almagest.catalogue import outbox
from almagest.core import secrets
from almagest.core.errors import AlmagestError, BadRequestError
from almagest.core.settings import Settings
from almagest.pipelines import callbacks
from almagest.pipelines.attempt import storable
from almagest.pipelines.outbound import Outbound, RefusedError
from almagest.pipelines.statements import Statements

log = structlog.get_logger(__name__)

SIGNATURE, DELIVERY, ABOUT = "X-Almagest-Signature", "X-Almagest-Delivery", "X-Almagest-About"

#: Between two tries, first and at most [s]: eight tries take half a day.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _TRIES = 10.0, 8 * 3600.0, 8
#: Longer than one can take, with the time that it takes to find out what a name means.
_LEASE = timedelta(minutes=3)
_AT_ONCE = 4

#: The body of a post, by its kind.
Bodies = Mapping[str, Callable[[Any], Any]]


class Courier:
    """Runs in a thread of a worker until it is stopped."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        settings: Settings,
        *,
        outbound: Outbound | None = None,
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Args:
        pool: connections of the workers' role.
        settings: of the stack.
        outbound: the way out, where it is not as the settings say.
        first_pause_s: between the first try and the second [s].
        """
        self._pool = pool
        self._settings = settings
        self._outbound = outbound or Outbound.of(settings)
        self._first_pause_s = first_pause_s
        said = Statements(f"{settings.site.origin}/ops", f"{settings.site.origin}/api")
        self._bodies: Bodies = {
            "document": lambda payload: payload,
            "changes": lambda page: page,
            "job": lambda job: callbacks.body(job, said),
        }
        self._interval_s = settings.work.poll_s
        self._stopped = threading.Event()
        self._hands = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="courier")
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Takes up nothing more; what it has in hand is due again when its lease is over."""
        self._stopped.set()
        self._hands.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                while not self._stopped.is_set() and self.deliver():
                    pass
            except psycopg.Error as error:
                log.warning("nothing delivered", reason=str(error))
            except Exception:
                log.exception("nothing delivered")

    def deliver(self) -> int:
        """Tries some of what is due, once each; answers how many.

        Raises:
            psycopg.Error: the database is away.
        """
        secret = secrets.read(self._settings.secrets, secrets.CALLBACK_KEY)
        if not secret:  # other workers may have it
            return 0
        with self._pool.connection() as connection:
            posts = outbox.claim(connection, _LEASE, _AT_ONCE)
        for done in [self._hands.submit(self._try, post, secret) for post in posts]:
            done.result()
        return len(posts)

    def _try(self, post: outbox.Post, secret: str) -> None:
        told = log.bind(post=str(post.id), about=post.about, attempt=post.tries)
        try:
            self._send(post, secret)
        except Exception as error:
            pause = None if _is_final(error) or post.tries >= _TRIES else timedelta(seconds=self._pause_s(post.tries))
            told.warning("not delivered", reason=str(error), exc_info=not isinstance(error, AlmagestError))
            with self._pool.connection() as connection:
                outbox.failed(connection, post, storable(str(error))[:1000], pause)
        else:
            told.info("delivered")
            with self._pool.connection() as connection:
                outbox.told(connection, post)

    def _send(self, post: outbox.Post, secret: str) -> None:
        content = orjson.dumps(self._bodies[post.kind](post.payload))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "almagest",
            DELIVERY: str(post.id),
            ABOUT: post.about,
            SIGNATURE: callbacks.signature(callbacks.key(secret, post.principal), content),
        }
        self._outbound.post(post.url, content, headers)

    def _pause_s(self, tries: int) -> float:
        longest: float = min(_LONGEST_PAUSE_S, self._first_pause_s * 4 ** (tries - 1))
        return longest * random.uniform(0.5, 1)  # noqa: S311 (so that what failed together is not tried together)


def _is_final(error: Exception) -> bool:
    """Whether trying again would not help."""
    return isinstance(error, BadRequestError | RefusedError)
