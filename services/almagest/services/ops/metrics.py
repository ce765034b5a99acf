"""The numbers, in Prometheus' text format.

They are gathered when asked for. Each ops process counts for itself and whoever is asked collects from all, each under
the name of its process: a process that starts anew then looks like that, and not like a sum that shrinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from almagest.services.ops.survey import Found

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(processes: Iterable[Found], counts: Mapping[str, Mapping[str, int]], active_keys: int | None) -> bytes:
    """The text.

    Args:
        processes: how each is.
        counts: by process and outcome.
        active_keys: None where the database does not answer.
    """
    registry = CollectorRegistry()
    registry.register(_Gathered([*_families(processes, counts, active_keys)]))
    return generate_latest(registry)


class _Gathered(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(
    processes: Iterable[Found], counts: Mapping[str, Mapping[str, int]], active_keys: int | None
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
    yield GaugeMetricFamily(
        "almagest_database_up", "Whether the database answers.", value=float(active_keys is not None)
    )
    if active_keys is not None:
        yield GaugeMetricFamily("almagest_keys_active", "Keys that open something.", value=active_keys)
