"""The numbers, in Prometheus' text format.

They are gathered when asked for. Each ops process counts for itself and whoever is asked collects from all, each under
the name of its process: a process that starts anew then looks like that, and not like a sum that shrinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from almagest.services.ops.survey import Found

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Stored:
    """What the database tells.

    Attributes:
        active_keys: keys that open something.
        jobs: by process and status.
        oldest_waiting_s: how long the oldest job waits that nobody has taken up [s].
        unsealed: rows of the audit that no block holds yet.
        oldest_unsealed_s: age of the oldest of them [s].
    """

    active_keys: int
    jobs: Mapping[tuple[str, str], int]
    oldest_waiting_s: float
    unsealed: int
    oldest_unsealed_s: float


def render(processes: Iterable[Found], counts: Mapping[str, Mapping[str, int]], stored: Stored | None) -> bytes:
    """The text.

    Args:
        processes: how each is.
        counts: by process and outcome.
        stored: None where the database does not answer.
    """
    registry = CollectorRegistry()
    registry.register(_Gathered([*_families(processes, counts, stored)]))
    return generate_latest(registry)


class _Gathered(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(
    processes: Iterable[Found], counts: Mapping[str, Mapping[str, int]], stored: Stored | None
) -> Iterator[Metric]:
    up = GaugeMetricFamily("almagest_up", "Whether a process is ready.", labels=("service", "process"))
    for found in processes:
        up.add_metric((found.service, found.process), float(found.reason is None))
    yield up
    asked = CounterMetricFamily(
        "almagest_authorizations", "Keys that were asked about, by what came of it.", labels=("process", "outcome")
    )
    for process, outcomes in counts.items():
        for outcome, number in outcomes.items():
            asked.add_metric((process, outcome), number)
    yield asked
    yield GaugeMetricFamily("almagest_database_up", "Whether the database answers.", value=float(stored is not None))
    if stored is None:
        return
    yield GaugeMetricFamily("almagest_keys_active", "Keys that open something.", value=stored.active_keys)
    jobs = GaugeMetricFamily("almagest_jobs", "Jobs that are kept.", labels=("process", "status"))
    for labels, number in stored.jobs.items():
        jobs.add_metric(labels, number)
    yield jobs
    yield GaugeMetricFamily(
        "almagest_jobs_oldest_waiting_seconds",
        "How long the oldest job waits that nobody has taken up.",
        value=stored.oldest_waiting_s,
    )
    yield GaugeMetricFamily(
        "almagest_audit_unsealed_rows", "Rows of the audit that are not sealed.", value=stored.unsealed
    )
    yield GaugeMetricFamily(
        "almagest_audit_oldest_unsealed_seconds",
        "Age of the oldest row of the audit that is not sealed.",
        value=stored.oldest_unsealed_s,
    )
