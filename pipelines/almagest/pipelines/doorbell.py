"""Tells workers that there is something to do, by Celery over Redis.

A message is the id of a job and nothing else, and may be lost, come twice or come late: the table is the truth.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from almagest.core import redis
from almagest.core.settings import Settings

log = structlog.get_logger(__name__)

#: The one kind of message.
RING = "almagest.ring"
#: Bells that nobody has heard yet. More would wake nobody, and only fill Redis.
_ENOUGH = 100


class Doorbell:
    """Rings for jobs."""

    def __init__(self, settings: Settings) -> None:
        self.app = celery(settings)

    def ring(self, job: UUID, queue: str) -> bool:
        """Tells the workers of a queue of a job; False where nobody can be told, which does no harm."""
        try:
            self.app.send_task(RING, (str(job),), queue=queue, retry=False, ignore_result=True)
        except (OperationalError, OSError, RedisError) as error:
            log.warning("the doorbell is broken", job=str(job), reason=str(error))
            return False
        return True

    def remind(self, job: UUID, queue: str) -> bool:
        """Rings once more for a job, unless its workers have not come to hear what was rung before."""
        try:
            with self.app.connection_or_acquire() as connection:
                waiting = connection.default_channel.client.llen(queue)
        except (OperationalError, OSError, RedisError) as error:
            log.warning("the doorbell is broken", job=str(job), reason=str(error))
            return False
        return waiting < _ENOUGH and self.ring(job, queue)


def celery(settings: Settings) -> Celery:
    """The Celery app: a broker without results."""
    app = Celery("almagest", broker=redis.address(settings, "redis+socket"), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        # What a dead worker had in hand is rung for again by the table, not by the broker.
        task_acks_late=False,
        task_default_queue="default",
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # Only Flower listens.
        worker_send_task_events=settings.site.flower,
        task_send_sent_event=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "health_check_interval": 10,
            # Whoever rings does not wait for Redis to come back: the table rings again.
            "max_retries": 0,
            "interval_start": 0,
        },
    )
    return app
