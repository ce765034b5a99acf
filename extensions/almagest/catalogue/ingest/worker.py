"""A process that checks and stores batches: ``python -m almagest.catalogue.ingest.worker DESCRIPTOR``.

Its parent hands it one batch after the other. It tells what is in a batch, hears which documents were met before, and
stores the others in one transaction. When the parent is gone it ends, after the transaction it is in.
"""

from __future__ import annotations

import gc
import signal
import sys
from multiprocessing.connection import Connection

from almagest.catalogue.database import translated
from almagest.catalogue.ingest import checking
from almagest.catalogue.ingest.line import Line
from almagest.catalogue.ingest.messages import Done, Failed, Inspected, Orders, Verdict, Waiting
from almagest.catalogue.rows import Base
from almagest.core.errors import AlmagestError


def main() -> None:
    """Serves the parent at the other end of the descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the parent's to answer
    with Connection(int(sys.argv[1])) as parent:
        try:
            with translated():
                _serve(parent)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # nobody waits for more
        except AlmagestError as error:
            parent.send(Failed(type(error), str(error)))


def _serve(parent: Connection) -> None:
    orders: Orders = parent.recv()

    def rest(seconds: float) -> None:
        if parent.poll(seconds):
            raise EOFError  # the parent says nothing at this point but by going away

    def say(sentence: str) -> None:
        parent.send(Waiting(sentence))

    line = Line(orders.access, say, rest, proven=True) if orders.access else None
    bases: dict[str, Base] = {}
    gc.freeze()  # what is loaded by now stays: a collection need not look at it
    while True:
        parent.send(_one(parent, parent.recv(), orders, line, bases))


def _one(parent: Connection, data: list[bytes], orders: Orders, line: Line | None, bases: dict[str, Base]) -> Done:
    checked = checking.check(data, orders.terms, bases)
    data.clear()
    parent.send(Inspected(checked.digest, checked.positions, checked.keys, checked.contents, checked.extents))
    verdict: Verdict = parent.recv()
    findings = checking.judged(checked, verdict.repeated)
    if line is None or orders.run is None or len(verdict.repeated) == len(checked.names):
        return Done(findings=tuple(findings))
    from almagest.catalogue.ingest import putting

    return putting.put_batch(line, orders.run, checked, verdict, findings, bases)


if __name__ == "__main__":
    main()
