"""An ingest through the API, for those without access to the database. The service checks and mends."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from almagest.catalogue.exchange import Record, Unreadable
from almagest.catalogue.ingest.batches import Batch, cut
from almagest.catalogue.ingest.options import Options, Sources
from almagest.catalogue.ingest.seen import Seen, content_of, key_of
from almagest.catalogue.ingest.tally import Entry, Tally
from almagest.client.collecting import REFUSALS, Collections, address
from almagest.client.http import Http, TimedOutError, not_stac
from almagest.core.errors import BadRequestError, ConflictError, NotFoundError

Document = dict[str, Any]

#: Bytes of one request: proxies take only so much, and what fails is sent again.
MAX_BYTES = 20_000_000
#: Half of a character beyond U+FFFF: JSON can escape it, UTF-8 cannot hold it.
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class _Item:
    """An item on its way."""

    where: str
    collection: str
    id: str
    text: bytes

    def refused(self, reason: str) -> Entry:
        return Entry("refused", self.where, self.collection, self.id, reason)


@dataclass
class _Answer:
    """What became of some items."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    entries: list[Entry] = field(default_factory=list)

    def add(self, other: _Answer) -> None:
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.entries += other.entries


def send(
    sources: Sources, http: Http, options: Options, tally: Tally, stop: threading.Event, *, extensions: bool = False
) -> None:
    """Puts documents into a catalogue: collections first, then items, each request whole or not at all.

    Args:
        sources: where they come from.
        http: the API, with a key that may write.
        options: ``dry_run`` and ``fresh`` mean nothing here.
        tally: what it finds goes in here.
        stop: set when nobody wants the rest any more, however this ends.
        extensions: have documents judged by the schemas of ``stac_extensions`` too.

    Raises:
        AlmagestError: it cannot go on; what was stored stays.
    """
    with Seen() as seen:
        asking = {"validate-extensions": "true"} if extensions else {}
        sender = _Sender(http, options, tally, seen, asking, Collections(http, asking))
        tally.show(None)
        for record in sources.collections():
            sender.collection(record)
        try:
            with ThreadPoolExecutor(options.workers) as pool:
                sender.items(sources, pool, stop)
        finally:
            stop.set()
        sender.collections.settle()


@dataclass
class _Sender:
    http: Http
    options: Options
    tally: Tally
    seen: Seen
    #: What every write is asked to do.
    asking: dict[str, str]
    collections: Collections

    def collection(self, record: Record | Unreadable) -> None:
        """Creates or replaces a collection."""
        name: str | None = None
        try:
            if isinstance(record, Unreadable):
                raise BadRequestError(record.reason)
            document = _parsed(record.data)
            name = _named(document, "id")
            met = self.seen.meet(key_of(name, ""), _content(document), record.where)
            if met is None:
                self.tally.add(**{f"collections_{self.collections.put(document)}": 1})
                self.collections.settled.add(name)
            elif not met[0]:
                raise ConflictError(f"another document of this collection stands at {met[1]}")
        except REFUSALS as error:
            self.tally.note([Entry("refused", record.where, name, name, str(error))])

    def items(self, sources: Sources, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        """Sends items; what comes back is counted in the order in which they were read."""
        sent: deque[tuple[Batch, int, list[Entry], Future[_Answer]]] = deque()
        try:
            for batch in cut(sources.items(), self.options.batch_size, MAX_BYTES):
                repeated, refused, groups = self._sorted(batch)
                sent.append((batch, repeated, refused, pool.submit(self._send_groups, groups, stop)))
                while len(sent) > 2 * self.options.workers:
                    self._count(*sent.popleft(), sources.fraction())
            while sent:
                self._count(*sent.popleft(), sources.fraction())
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise

    def _sorted(self, batch: Batch) -> tuple[int, list[Entry], dict[str, list[_Item]]]:
        """How many were met before, which stay here, and the others by collection."""
        repeated = 0
        refused = [Entry("refused", batch.places[at], None, None, reason) for at, reason in batch.troubles]
        groups: dict[str, list[_Item]] = {}
        for where, text in zip(batch.places, batch.data, strict=True):
            if not text:
                continue
            collection = name = None
            try:
                document = _parsed(text)
                name = _named(document, "id")
                if document.get("collection") is None and self.options.collection:
                    document = {**document, "collection": self.options.collection}
                    text = json.dumps(document).encode()
                collection = _named(document, "collection")
                met = self.seen.meet(key_of(collection, name), _content(document), where)
                if met is not None and not met[0]:
                    raise ConflictError(f"another item of this id stands at {met[1]}")
            except REFUSALS as error:
                refused.append(Entry("refused", where, collection, name, str(error)))
                continue
            if met is not None:
                repeated += 1
                continue
            groups.setdefault(collection, []).append(_Item(where, collection, name, text))
            if self.options.create_collections:
                self.collections.measure(collection, document)
        return repeated, [*refused, *self._make(groups)], groups

    def _make(self, groups: dict[str, list[_Item]]) -> list[Entry]:
        """Makes collections that are not there; takes out the items of those that cannot be made."""
        refused: list[Entry] = []
        for name in sorted(groups):
            try:
                self.tally.add(collections_created=self.collections.make(name))
            except REFUSALS as error:
                refused += [item.refused(str(error)) for item in groups.pop(name)]
        return refused

    def _send_groups(self, groups: dict[str, list[_Item]], stop: threading.Event) -> _Answer:
        answer = _Answer()
        for collection in sorted(groups):
            if stop.is_set():
                break
            answer.add(self._send(collection, groups[collection]))
        return answer

    def _send(self, collection: str, items: Sequence[_Item]) -> _Answer:
        # As they came: whatever they hold, the service judges that, and not what parsing has made of it.
        members = b",".join(json.dumps(item.id).encode() + b":" + item.text for item in items)
        body = b'{"method":"upsert","items":{' + members + b"}}"
        try:
            url = f"{address(collection)}/bulk_items"
            told = self.http("POST", url, params=self.asking, content=body)
        except NotFoundError as error:
            remedy = "Give its document too, or `--create-collections`."
            if self.options.create_collections:
                remedy = "It was not made, for none of its items says where and when it is."
            reason = f"{str(error).rstrip('.')}. {remedy}"
            return _Answer(entries=[item.refused(reason) for item in items])
        except TimedOutError:
            if len(items) == 1:
                raise
        except REFUSALS as error:
            if len(items) == 1:
                return _Answer(entries=[items[0].refused(str(error))])
        else:
            try:
                counts = {name: int(told[name]) for name in ("created", "updated", "unchanged")}
                return _Answer(**counts, entries=list(_entries(told, items)))
            except (KeyError, TypeError, ValueError):
                not_stac(url, "it does not say what became of the items")
        # Too much at once for the service, or for the time it has, or one of them spoils the whole: halves find out.
        middle = len(items) // 2
        answer = self._send(collection, items[:middle])
        answer.add(self._send(collection, items[middle:]))
        return answer

    def _count(
        self, batch: Batch, repeated: int, refused: list[Entry], future: Future[_Answer], fraction: float | None
    ) -> None:
        answer = future.result()
        self.tally.add(
            items=len(batch.places),
            repeated=repeated,
            created=answer.created,
            updated=answer.updated,
            unchanged=answer.unchanged,
            batches_sent=1,
        )
        order = {place: n for n, place in enumerate(batch.places)}
        self.tally.note(sorted([*refused, *answer.entries], key=lambda entry: order[entry.file]))
        self.tally.show(fraction)


def _entries(told: Document, items: Sequence[_Item]) -> Iterator[Entry]:
    by_id = {item.id: item for item in items}
    for error in told["errors"]:
        yield by_id[error["id"]].refused(str(error["msg"]))
    for mended in told["mended"]:
        item = by_id[mended["id"]]
        yield Entry("mended", item.where, item.collection, item.id, "; ".join(mended["remarks"]))


def _parsed(text: bytes) -> Document:
    def refuse(number: str) -> None:
        raise BadRequestError(f"This is not JSON: {number} is no number.")

    try:
        document = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"This is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequestError(f"This is a {type(document).__name__}, not a JSON object.")
    return document


def _named(document: Document, member: str) -> str:
    name = document.get(member)
    # Dots would lead to another address.
    if isinstance(name, str) and name not in {"", ".", ".."}:
        if _HALF.search(name):
            raise BadRequestError(f"/{member}: holds half a character (a lone surrogate).")
        return name
    if member == "collection" and name is None:
        raise BadRequestError("/collection: the item names none; `--collection ID` says where such items go.")
    raise BadRequestError(f"/{member}: {name!r} is no name.")


def _content(document: Document) -> bytes:
    return content_of(json.dumps(document, sort_keys=True).encode())
