"""Plain Celery, as its own guide has it: a task, a broker and a result backend in Redis. Beside `jobs.py`."""

from __future__ import annotations

import os

from celery import Celery

SOCKET = os.environ["ALMAGEST_BENCH_REDIS"]

app = Celery(
    "peer", broker=f"redis+socket://{SOCKET}?virtual_host=1", backend=f"redis+socket://{SOCKET}?virtual_host=2"
)


@app.task(name="peer.empty")
def empty(name: str) -> dict[str, str]:
    """Nothing."""
    return {"name": name}
