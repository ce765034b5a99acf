"""The numbers, in Prometheus' text format.

They are gathered when asked for. Each process counts for itself and whoever is asked collects from all, each under the
name of its process: a process that starts anew then looks like that, and not like a sum that shrinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from almagest.services.ops.survey import Found, Told
from almagest.services.web.measured import BUCKETS_S

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ENDS = (*map(floatToGoString, BUCKETS_S), "+Inf")


@dataclass(frozen=True)
class Stored:
    """What the database tells.

    Attributes:
        active_keys: keys that open something.
        jobs: by process and status.
        oldest_waiting_s: how long the oldest job waits that nobody has taken up [s].
        waiting: jobs that nobody has taken up, by queue.
        dead: jobs that failed as often as they may, by process.
        lease_expiries: how often a job was lost by its worker, by process.
        connections: those that are open, by role.
        most_connections: as many there can be.
        history_rows: former states that are kept, about so many, by what they are of.
        undelivered: callbacks that were given up, or have failed at least once.
        failing_schedules: schedules whose latest moment brought no job.
        unfolded: changes that are not folded into the rollups yet.
        unsealed: rows of the audit that no block holds yet.
        oldest_unsealed_s: age of the oldest of them [s].
    """

    active_keys: int
    jobs: Mapping[tuple[str, str], int]
    oldest_waiting_s: float
    waiting: Mapping[str, int]
    dead: Mapping[str, int]
    lease_expiries: Mapping[str, int]
    connections: Mapping[str, int]
    most_connections: int
    history_rows: Mapping[str, int]
    undelivered: int
    failing_schedules: int
    unfolded: int
    unsealed: int
    oldest_unsealed_s: float


def render(processes: Iterable[Found], told: Sequence[Told], stored: Stored | None) -> bytes:
    """The text.

    Args:
        processes: how each is.
        told: what each has counted.
        stored: None where the database does not answer.
    """
    registry = CollectorRegistry()
    registry.register(_Gathered([*_of_processes(processes), *_of_requests(told), *_of_database(stored)]))
    return generate_latest(registry)


class _Gathered(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _of_processes(processes: Iterable[Found]) -> Iterator[Metric]:
    up = GaugeMetricFamily("almagest_up", "Whether a process is ready.", labels=("service", "process"))
    for found in processes:
        up.add_metric((found.service, found.process), float(found.reason is None))
    yield up


def _of_requests(told: Sequence[Told]) -> Iterator[Metric]:
    of_process = ("service", "process")
    requests = CounterMetricFamily(
        "almagest_requests",
        "Requests that were answered, by the route that answered and the class of the status.",
        labels=(*of_process, "method", "route", "status"),
    )
    took = HistogramMetricFamily(
        "almagest_request_duration_seconds",
        "Time from a request to the end of its answer.",
        labels=(*of_process, "method", "route"),
    )
    connections = GaugeMetricFamily(
        "almagest_pool_connections",
        "Connections to the database that are open, by whether somebody has them.",
        labels=(*of_process, "pool", "state"),
    )
    most = GaugeMetricFamily(
        "almagest_pool_connections_max",
        "Connections to the database that are opened at most.",
        labels=(*of_process, "pool"),
    )
    waiting = GaugeMetricFamily(
        "almagest_pool_waiting_requests", "Requests that wait for a connection.", labels=(*of_process, "pool")
    )
    free = GaugeMetricFamily(
        "almagest_disk_free_bytes", "Room that is left on the disk of a folder.", labels=(*of_process, "folder")
    )
    size = GaugeMetricFamily(
        "almagest_disk_size_bytes", "Size of the disk that a folder lies on.", labels=(*of_process, "folder")
    )
    asked = CounterMetricFamily(
        "almagest_authorizations", "Keys that were asked about, by what came of it.", labels=("process", "outcome")
    )
    audit = CounterMetricFamily(
        "almagest_audit_rows",
        "Rows of the audit that were written late, after their answer, or never: the log has those.",
        labels=(*of_process, "fate"),
    )
    limits = CounterMetricFamily(
        "almagest_limits",
        "Requests and logins that were over a limit, and those that were counted without Redis.",
        labels=("process", "outcome"),
    )
    for each in told:
        who = (each.service, each.process)
        for *labels, number in each.numbers["requests"]:
            requests.add_metric((*who, *labels), number)
        for *labels, counts, total_s in each.numbers["durations"]:
            took.add_metric((*who, *labels), [*zip(_ENDS, accumulate(counts), strict=True)], total_s)
        for pool, use in each.numbers.get("pools", {}).items():
            connections.add_metric((*who, pool, "in_use"), use["in_use"])
            connections.add_metric((*who, pool, "idle"), use["idle"])
            most.add_metric((*who, pool), use["most"])
            waiting.add_metric((*who, pool), use["waiting"])
        for folder, disk in each.numbers.get("disks", {}).items():
            free.add_metric((*who, folder), disk["free"])
            size.add_metric((*who, folder), disk["size"])
        for outcome, number in each.numbers.get("authorizations", {}).items():
            asked.add_metric((each.process, outcome), number)
        for fate, number in each.numbers.get("audit", {}).items():
            audit.add_metric((*who, fate), number)
        for outcome, number in each.numbers.get("limits", {}).items():
            limits.add_metric((each.process, outcome), number)
    yield from (requests, took, connections, most, waiting, free, size, asked, audit, limits)


def _of_database(stored: Stored | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("almagest_database_up", "Whether the database answers.", value=float(stored is not None))
    if stored is None:
        return
    yield GaugeMetricFamily("almagest_keys_active", "Keys that open something.", value=stored.active_keys)
    yield _by(
        GaugeMetricFamily("almagest_database_connections", "Connections that PostgreSQL has.", labels=("role",)),
        stored.connections,
    )
    yield GaugeMetricFamily(
        "almagest_database_connections_max", "As many PostgreSQL takes.", value=stored.most_connections
    )
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
        "almagest_callbacks_undelivered",
        "Callbacks that were given up, or have failed at least once and wait.",
        value=stored.undelivered,
    )
    yield GaugeMetricFamily(
        "almagest_schedules_failing", "Schedules whose latest moment brought no job.", value=stored.failing_schedules
    )
    yield GaugeMetricFamily(
        "almagest_audit_unsealed_rows", "Rows of the audit that are not sealed.", value=stored.unsealed
    )
    yield GaugeMetricFamily(
        "almagest_audit_oldest_unsealed_seconds",
        "Age of the oldest row of the audit that is not sealed.",
        value=stored.oldest_unsealed_s,
    )
    yield _by(
        GaugeMetricFamily("almagest_jobs_waiting", "Jobs that wait for a worker, by queue.", labels=("queue",)),
        stored.waiting,
    )
    yield _by(
        GaugeMetricFamily("almagest_jobs_dead", "Jobs that failed as often as they may.", labels=("process",)),
        stored.dead,
    )
    yield _by(
        CounterMetricFamily(
            "almagest_job_lease_expiries",
            "How often a worker gave no sign of life until its job was taken from it.",
            labels=("process",),
        ),
        stored.lease_expiries,
    )
    yield _by(
        GaugeMetricFamily("almagest_history_rows", "Former states that are kept, about so many.", labels=("kind",)),
        stored.history_rows,
    )
    yield GaugeMetricFamily(
        "almagest_rollups_unfolded_changes",
        "Changes that whoever aggregates has to add, since they are not folded yet.",
        value=stored.unfolded,
    )


def _by(
    family: GaugeMetricFamily | CounterMetricFamily, numbers: Mapping[str, int]
) -> GaugeMetricFamily | CounterMetricFamily:
    for label, number in numbers.items():
        family.add_metric((label,), number)
    return family
