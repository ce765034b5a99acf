"""The worker processes of an ingest, as their parent sees them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, cast

from almagest.catalogue.ingest.messages import Failed, Message, Orders
from almagest.core.errors import AlmagestError

_MODULE = "almagest.catalogue.ingest.worker"
#: How long a worker may go on with the transaction it is in when it is told to end [s].
GRACE_S = 5.0


@dataclass(eq=False)
class Worker:
    """One process and the line to it."""

    process: subprocess.Popen[bytes]
    line: Connection

    def send(self, message: Any) -> None:
        """Hands it something.

        Raises:
            AlmagestError: it is gone.
        """
        try:
            self.line.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self.gone() from None

    def gone(self) -> AlmagestError:
        """The error that says that it ended without being asked to."""
        code = self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
        return AlmagestError(
            f"A worker process {how}{hint}. What was stored stays: the same command goes on from there."
        )


@dataclass
class Crew:
    """Starts workers, as they are needed, and listens to them.

    Leaving it ends them, and no transaction of theirs stays half done.

    Attributes:
        size: so many workers at most.
        workers: those that have their orders.
    """

    size: int
    workers: list[Worker] = field(default_factory=list)
    _early: Worker | None = None

    def __enter__(self) -> Crew:
        # What the first one imports takes as long as all that comes before the first batch.
        self._early = _started()
        return self

    def one_more(self, orders: Orders) -> Worker | None:
        """A new worker, as long as there are not enough of them: a small ingest needs no more than one."""
        if len(self.workers) >= self.size:
            return None
        worker, self._early = self._early or _started(), None
        self.workers.append(worker)
        worker.send(orders)
        return worker

    def heard(self, timeout: float | None) -> Iterator[tuple[Worker, Message]]:
        """What workers have said, at once or within ``timeout`` seconds.

        Raises:
            AlmagestError: one of them cannot go on.
        """
        by_line = {worker.line: worker for worker in self.workers}
        for line in wait(list(by_line), timeout):
            worker = by_line[cast("Connection", line)]
            try:
                message: Message = worker.line.recv()
            except (EOFError, ConnectionResetError):
                raise worker.gone() from None
            if isinstance(message, Failed):
                raise message.kind(message.sentence)
            yield worker, message

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._early is not None:
            self._early.line.close()
            self._early.process.kill()  # it has nothing to end
            self._early.process.wait()
        for worker in self.workers:
            worker.line.close()  # they notice, and end after the transaction they are in
        until = time.monotonic() + GRACE_S
        for worker in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(until - time.monotonic(), 0))
        # Whoever is still at it is cut off: the database rolls the transaction back.
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()


def _started() -> Worker:
    """A process of its own group, so that a terminal's Ctrl-C reaches only the parent.

    Not multiprocessing's: that would run the parent's main module once more in each.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, process_group=0
        )
    return Worker(process, Connection(ours.detach()))
