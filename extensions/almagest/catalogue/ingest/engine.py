"""An ingest straight into the database: reading, handing out, and keeping order among what comes back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from almagest.catalogue import acceptance
from almagest.catalogue.database import translated
from almagest.catalogue.ingest import batches, manifest
from almagest.catalogue.ingest.checking import Finding, Terms, Verdicts
from almagest.catalogue.ingest.collecting import Collections
from almagest.catalogue.ingest.crew import Crew, Worker
from almagest.catalogue.ingest.line import Access, Line
from almagest.catalogue.ingest.messages import Done, Inspected, Message, Orders, Verdict, Waiting
from almagest.catalogue.ingest.options import Options, Sources
from almagest.catalogue.ingest.seen import Seen
from almagest.catalogue.ingest.tally import Entry, Tally


def ingest(sources: Sources, access: Access, rules: acceptance.Rules, options: Options, tally: Tally) -> None:
    """Puts documents into the catalogue: collections first, then items, by batches, each whole or not at all.

    Run again after it was broken off, it sends only what is missing. What it finds goes into ``tally``.

    Raises:
        AlmagestError: it cannot go on; what was stored stays.
    """
    line = Line(access, tally.say)
    try:
        with translated(), Seen() as seen:
            with Crew(options.workers) as crew:
                collections = Collections(line)
                collections.look()
                tally.show(None)
                collections.take(sources.collections(), rules, seen, tally, dry=options.dry_run)
                terms = Terms(
                    rules,
                    options.collection,
                    options.create_collections,
                    frozenset(collections.known),
                    frozenset(collections.settled),
                )
                run = None if options.dry_run else manifest.begin(line, sources.name, terms, fresh=options.fresh)
                orders = Orders(terms, access, run.id) if run else Orders(terms, None, None)
                recorded = run.digests if run else frozenset()
                engine = _Engine(sources, options, tally, seen, collections, crew, orders, recorded)
                engine.work()
            if run is not None:
                collections.settle()
                manifest.finish(line, run, engine.partitions)
    finally:
        line.close()


@dataclass
class _Engine:
    sources: Sources
    options: Options
    tally: Tally
    seen: Seen
    collections: Collections
    crew: Crew
    orders: Orders
    recorded: frozenset[bytes]
    #: Which batch each worker has.
    busy: dict[Worker, batches.Batch] = field(default_factory=dict)
    #: Batches that wait for what came before them to be judged, by number.
    inspected: dict[int, tuple[Worker, Inspected]] = field(default_factory=dict)
    #: Batches that are done but for the ones before them, by number.
    done: dict[int, tuple[batches.Batch, Done, int]] = field(default_factory=dict)
    #: Documents of each batch that were read before and are equal.
    repeated: dict[int, int] = field(default_factory=dict)
    #: Where items lie that were stored.
    partitions: set[str] = field(default_factory=set)
    next_judged: int = 0
    next_done: int = 0

    def work(self) -> None:
        waiting = batches.cut(self.sources.items(), self.options.batch_size)
        ready = next(waiting, None)
        while ready is not None or self.busy:
            worker = self._free() if ready is not None else None
            if ready is not None and worker is not None:
                self._hand(worker, ready)
                # Read while they work, unless one of them has something to say.
                self._listen(0)
                ready = next(waiting, None)
            else:
                self._listen(None)
            self.tally.show(self.sources.fraction())

    def _free(self) -> Worker | None:
        idle = next((worker for worker in self.crew.workers if worker not in self.busy), None)
        return idle or self.crew.one_more(self.orders)

    def _hand(self, worker: Worker, batch: batches.Batch) -> None:
        worker.send(batch.data)
        batch.data = []  # the worker has it now
        self.busy[worker] = batch

    def _listen(self, timeout: float | None) -> None:
        for worker, message in self.crew.heard(timeout):
            self._hear(worker, message)

    def _hear(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Waiting):
            self.tally.say(message.sentence)
        elif isinstance(message, Inspected):
            self.inspected[self.busy[worker].number] = worker, message
            self._judge()
        elif isinstance(message, Done):
            batch = self.busy.pop(worker)
            self.partitions |= message.partitions
            self.done[batch.number] = batch, message, self.repeated.pop(batch.number)
            self._conclude()

    def _judge(self) -> None:
        """Answers workers in the order of their batches: of equal names the first one read counts."""
        while self.next_judged in self.inspected:
            worker, found = self.inspected.pop(self.next_judged)
            batch = self.busy[worker]
            repeated: Verdicts = {}
            for n, (position, key, content) in enumerate(zip(found.positions, found.keys, found.contents, strict=True)):
                met = self.seen.meet(key, content, batch.places[position])
                if met is not None:
                    repeated[n] = met
            if not self.options.dry_run:
                self.tally.add(collections_created=self.collections.cover(found.extents))
            # Whether a document was met before depends on others: the same batch after another one is not the same.
            digest = hashlib.sha256(found.digest + repr(sorted(repeated)).encode()).digest()
            self.repeated[batch.number] = sum(equal for equal, _ in repeated.values())
            worker.send(Verdict(repeated, digest, digest in self.recorded))
            self.next_judged += 1

    def _conclude(self) -> None:
        """Counts and reports in the order of the batches."""
        while self.next_done in self.done:
            batch, done, repeated = self.done.pop(self.next_done)
            entries = list(_entries(batch, done))
            refused = sum(entry.kind == "refused" for entry in entries)
            good = len(batch.places) - refused - repeated
            stored = done.created + done.updated + done.unchanged
            self.tally.add(
                items=len(batch.places),
                repeated=repeated,
                created=done.created,
                updated=done.updated,
                unchanged=done.unchanged,
                checked=good if self.options.dry_run else 0,
                resumed=0 if self.options.dry_run else good - stored,
                batches_sent=int(done.sent),
                batches_resumed=int(not self.options.dry_run and not done.sent and good > 0),
            )
            self.tally.note(entries)
            self.next_done += 1


def _entries(batch: batches.Batch, done: Done) -> Iterator[Entry]:
    unreadable = [Finding(position, "refused", None, None, reason) for position, reason in batch.troubles]
    for finding in sorted([*unreadable, *done.findings], key=lambda finding: finding.position):
        yield Entry(finding.kind, batch.places[finding.position], finding.collection, finding.id, finding.reason)
