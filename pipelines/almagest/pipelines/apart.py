"""A process in a child of the worker: it can be ended at any moment, even deep in C code, and has a limit of memory.

Both ends talk in lines of JSON over a socket. What the child may ask for is what :class:`~almagest.core.jobs.Context`
lists; what changes the catalogue goes that way alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from almagest.core.errors import AlmagestError, ConflictError, NotFoundError
from almagest.core.jobs import Child, DismissedError, Fanout, Process, ProcessFailedError

if TYPE_CHECKING:
    from almagest.pipelines.attempt import Attempt

_LOOK_S = 0.2
_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1
#: What a child may call of its context.
_CALLS = frozenset({
    "progress", "log", "source", "sources", "pin", "fetch", "collection", "publish", "rely_on", "remove", "register",
    "recall", "remember",
})  # fmt: skip
#: Refusals that a process may want to tell from others.
_REFUSALS: dict[str, type[AlmagestError]] = {kind.slug: kind for kind in (NotFoundError, ConflictError)}


class ChildError(AlmagestError):
    """The process broke, or was ended."""

    slug = "process-broke"

    def __init__(self, message: str | None = None, internal: str = "") -> None:
        super().__init__(message)
        #: For operators: a traceback.
        self.internal = internal


def run(process: Process[Any], attempt: Attempt) -> Mapping[str, Any] | Fanout:
    """Runs a process in a child.

    Raises:
        DismissedError: the job is no longer this attempt's.
        ProcessFailedError: the process says that it cannot do what it was asked for.
        ChildError: it broke, took too long or too much memory, or died.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            child = subprocess.Popen(  # noqa: S603 (ourselves)
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd=attempt.workdir,
            )
        try:
            return _Parent(process, attempt, child, ours).serve()
        finally:
            _end(child)


class _Parent:
    def __init__(
        self, process: Process[Any], attempt: Attempt, child: subprocess.Popen[bytes], line: socket.socket
    ) -> None:
        self._process = process
        self._attempt = attempt
        self._child = child
        self._line = line
        self._rest = b""
        self._began = time.monotonic()

    def serve(self) -> Mapping[str, Any] | Fanout:
        """Answers the child until it has a result."""
        self._line.settimeout(_LOOK_S)
        self._send(
            {
                "process": self._process.id,
                "inputs": self._attempt.row.inputs,
                "job": self._attempt.job,
                "facts": self._attempt.facts,
                "workdir": str(self._attempt.workdir),
                "children": [asdict(child) for child in self._attempt.children],
                "checkpoint": self._attempt.checkpoint,
                "memory_limit_mb": self._process.memory_limit_mb,
            }
        )
        while True:
            self._look()
            message = self._receive()
            if message is None:
                continue
            if "call" in message:
                self._answer(message)
            elif "fanout" in message:
                given = message["fanout"]
                return Fanout([Child(**child) for child in given["children"]], given["checkpoint"])
            elif "failed" in message:
                raise ProcessFailedError(message["failed"])
            elif "broke" in message:
                raise ChildError(message["broke"], message.get("internal", ""))
            else:
                return dict(message["result"])

    def _look(self) -> None:
        """Whether it is still worth while to wait."""
        self._attempt.check()
        limit = self._process.time_limit_s
        if limit is not None and time.monotonic() - self._began > limit:
            raise ChildError(f"It took longer than {limit:g} s.")

    def _answer(self, message: Mapping[str, Any]) -> None:
        if message["call"] not in _CALLS:
            raise ChildError(f"It called {message['call']!r}.")
        given = dict(message["with"])
        if "day" in given:
            given["day"] = date.fromisoformat(given["day"])
        try:
            result = getattr(self._attempt, message["call"])(*message["of"], **given)
        except AlmagestError as error:
            if error.status >= 500 or isinstance(error, DismissedError):
                raise  # it would not help to tell the process
            self._send({"refused": str(error), "slug": error.slug})
        else:
            self._send({"result": str(result) if isinstance(result, Path) else result})

    def _send(self, message: Mapping[str, Any]) -> None:
        rest = memoryview(json.dumps(message).encode() + b"\n")
        while rest:
            try:
                rest = rest[self._line.send(rest) :]
            except TimeoutError:
                self._look()
            except (BrokenPipeError, ConnectionResetError):
                return  # what it died of is found out by receiving

    def _receive(self) -> dict[str, Any] | None:
        while b"\n" not in self._rest:
            try:
                received = self._line.recv(1 << 20)
            except TimeoutError:
                if self._child.poll() is None:
                    return None
                received = b""  # dead, though something that it has started holds the line
            except ConnectionResetError:
                received = b""
            if not received:
                raise ChildError(f"It ended without a result ({self._how()}).")
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))

    def _how(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._child.wait(_GRACE_S)
            return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return "it hung up"


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
            break
    with contextlib.suppress(ProcessLookupError):  # and whatever it has started
        os.killpg(child.pid, signal.SIGKILL)


class _Context:
    """The context as the child sees it: each call goes to the parent."""

    def __init__(self, given: Mapping[str, Any], file: BinaryIO) -> None:
        self.job: str = given["job"]
        self.workdir = Path(given["workdir"])
        self.children: Sequence[Child] = [Child(**child) for child in given["children"]]
        self.checkpoint: Any = given["checkpoint"]
        self._file = file

    def progress(self, percent: float, message: str | None = None) -> None:
        self._call("progress", percent, message)

    def log(self, line: str) -> None:
        self._call("log", line)

    def source(self, collection: str, identifier: str) -> dict[str, Any]:
        return dict(self._call("source", collection, identifier))

    def sources(self, names: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        return list(self._call("sources", list(names)))

    def pin(self, sources: Sequence[tuple[str, str, str]]) -> None:
        self._call("pin", list(sources))

    def collection(self, document: Mapping[str, Any], made_of: Sequence[str], **more: Any) -> None:
        self._call("collection", dict(document), list(made_of), **more)

    def rely_on(self, collections: Sequence[str], mark: str) -> None:
        self._call("rely_on", list(collections), mark)

    def remove(self, names: Sequence[tuple[str, str] | tuple[str, str, str]]) -> None:
        self._call("remove", list(names))

    def recall(self, key: str) -> Any:
        return self._call("recall", key)

    def remember(self, key: str, value: Any) -> None:
        self._call("remember", key, value)

    def publish(self, items: Iterable[Mapping[str, Any]], **more: Any) -> None:
        self._call("publish", [dict(item) for item in items], **more)

    def fetch(self, href: str) -> Path:
        return Path(self._call("fetch", href))

    def register(self, collection: str, item: str, file: str, **more: Any) -> None:
        self._call("register", collection, item, file, **{**more, "day": more["day"].isoformat()})

    def _call(self, name: str, *of: Any, **given: Any) -> Any:
        self.send({"call": name, "of": of, "with": given})
        line = self._file.readline()
        if not line:  # the worker is gone, and with it whoever would want a result
            raise DismissedError()
        answer = json.loads(line)
        if "refused" in answer:
            raise _REFUSALS.get(answer["slug"], ProcessFailedError)(answer["refused"])
        return answer["result"]

    def send(self, message: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(message).encode() + b"\n")
        self._file.flush()


def main() -> None:
    """The child: ``python -m almagest.pipelines.apart DESCRIPTOR PARENT``."""
    import ctypes

    # Should the worker be killed, nobody waits for this any more, whatever it is doing.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[2]):
        return  # it was, before this was said
    with socket.socket(fileno=int(sys.argv[1])) as line, line.makefile("rwb") as file:
        first = file.readline()
        if first:
            _serve(json.loads(first), cast("BinaryIO", file))


def _serve(given: Mapping[str, Any], file: BinaryIO) -> None:
    import traceback

    from almagest.core import logs
    from almagest.pipelines import registry

    logs.configure("worker", lambda: given["facts"])
    if limit := given["memory_limit_mb"]:
        resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))
    context = _Context(given, file)
    try:
        process = registry.find(given["process"])
        result = process.run(process.parse(given["inputs"]), context)
    except DismissedError:
        return
    except MemoryError:
        context.send({"broke": f"It needed more than {limit} MiB of memory."})
    except AlmagestError as error:
        context.send({"failed" if error.status < 500 else "broke": str(error)})
    except Exception:
        context.send({"broke": "The process broke.", "internal": traceback.format_exc()[-20_000:]})
    else:
        if isinstance(result, Fanout):
            context.send({"fanout": asdict(result)})
        else:
            context.send({"result": dict(result)})


if __name__ == "__main__":
    main()
