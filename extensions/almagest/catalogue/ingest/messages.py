"""What the parent of an ingest and its workers say to each other."""

from __future__ import annotations

from dataclasses import dataclass

from almagest.catalogue.extents import Extent
from almagest.catalogue.ingest.checking import Finding, Terms, Verdicts
from almagest.catalogue.ingest.line import Access
from almagest.core.errors import AlmagestError


@dataclass(frozen=True)
class Orders:
    """What a worker is told first.

    Attributes:
        terms: how documents are judged.
        access: where they are stored; None where they are only looked at.
        run: under which the batches are remembered.
    """

    terms: Terms
    access: Access | None
    run: int | None


@dataclass(frozen=True)
class Inspected:
    """What a worker has found in a batch; it goes on when it has its :class:`Verdict`.

    Attributes:
        digest: what only an equal batch has.
        positions: of the good documents.
        keys, contents: what stands for their names and texts.
        extents: of collections that are made from their items.
    """

    digest: bytes
    positions: list[int]
    keys: list[bytes]
    contents: list[bytes]
    extents: dict[str, Extent]


@dataclass(frozen=True)
class Verdict:
    """What the parent says to it.

    Attributes:
        repeated: documents that were met before.
        digest: by which the batch is remembered.
        recorded: whether an earlier run has stored it.
    """

    repeated: Verdicts
    digest: bytes
    recorded: bool


@dataclass(frozen=True)
class Done:
    """What became of a batch.

    Attributes:
        created, updated, unchanged: numbers of items.
        sent: whether it went to the database; else an earlier run's items are all there, or there are none.
        findings: for the report.
        partitions: where its items lie.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    sent: bool = False
    findings: tuple[Finding, ...] = ()
    partitions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Waiting:
    """A sentence on what the worker waits for."""

    sentence: str


@dataclass(frozen=True)
class Failed:
    """Why the worker ends."""

    kind: type[AlmagestError]
    sentence: str


Message = Inspected | Done | Waiting | Failed
