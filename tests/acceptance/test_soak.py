"""Minutes of kills under load: `make soak`."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import httpx
import pytest

from support.stack import kill, stack

pytestmark = pytest.mark.soak

MINUTES = 3


def test_random_kills_under_load_never_give_a_wrong_answer() -> None:
    """Children are killed again and again while eight clients read: an answer is right, or a clear 502 or 503."""
    dice = random.Random(7)
    with stack("generate") as victim:
        with victim.client() as client:
            expected = client.get("/api/search?limit=20&sortby=id").content
        seen: Counter[str] = Counter()
        ended = threading.Event()

        def read() -> None:
            while not ended.is_set():
                try:
                    with victim.client() as client:
                        response = client.get("/api/search?limit=20&sortby=id")
                except httpx.TransportError:
                    seen["refused"] += 1  # nginx itself was the victim
                    continue
                seen[str(response.status_code)] += 1
                if response.status_code == 200:
                    assert response.content == expected
                else:
                    assert response.headers["content-type"] == "application/problem+json"

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        kills = 0
        slowest = 0.0
        deadline = time.monotonic() + MINUTES * 60
        while time.monotonic() < deadline:
            _, pid = dice.choice(sorted(victim.processes().items()))
            kill(pid)
            kills += 1
            time.sleep(0.3)
            slowest = max(slowest, victim.wait_healthy(20))
        ended.set()
        for reader in readers:
            reader.join()
        print(f"soak: {kills} kills, slowest recovery {slowest:.1f} s, answers {dict(seen)}")
        assert set(seen) <= {"200", "502", "503", "504", "refused"}
        assert seen["200"] > 0.9 * sum(seen.values())
