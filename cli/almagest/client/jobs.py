"""Processes and jobs from a notebook, over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from almagest.client.place import api_and_key
from almagest.client.watching import OPEN, Look, watch

if TYPE_CHECKING:
    from almagest.client.http import Http

Document = dict[str, Any]

#: Last segments of addresses of one catalogue.
_SIBLINGS = ("/api", "/external", "/ops")
#: As many events as the service tells at once.
_PAGE = 1000


@dataclass(frozen=True)
class Event:
    """A line of the log of a job; ``kind`` is ``state`` (what became of it) or ``log`` (what it said)."""

    at: datetime
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {'|' if self.kind == 'log' else '*'} {self.message}"


class Client:
    """The processes of a catalogue, and one's jobs::

        from almagest.client import Client

        client = Client("https://host/api")        # the key as ALMAGEST_KEY says
        job = client.execute("echo", message="Hello")
        print(job.wait().results())                # {'echo': 'Hello'}

    Args:
        api_url: of the catalogue, like `https://host/api`; else as ALMAGEST_API_URL or the configuration says.
        key: with the scope `jobs:run`; else as ALMAGEST_KEY or the configuration says.
    """

    def __init__(self, api_url: str | None = None, key: str | None = None) -> None:
        from almagest.client.http import Http

        url, key = api_and_key(api_url, key)
        url = url.rstrip("/")
        for sibling in _SIBLINGS:
            url = url.removesuffix(sibling)
        self._http: Http = Http(f"{url}/ops", key)

    def processes(self) -> list[str]:
        """Ids of all processes."""
        return [process["id"] for process in self._http("GET", "processes", params={"limit": "100"})["processes"]]

    def describe(self, process: str) -> Document:
        """What a process takes and gives.

        Raises:
            NotFoundError: there is no such process.
        """
        return self._http("GET", f"processes/{quote(process, safe='')}")

    def execute(self, process: str, /, **inputs: Any) -> Job:
        """Has a process run, and does not wait for it.

        Raises:
            BadRequestError: it does not take such inputs.
            NotFoundError: there is no such process.
            UnauthorizedError: the key may not do that.
        """
        return self.submit(process, inputs)

    def submit(
        self,
        process: str,
        inputs: Mapping[str, Any],
        *,
        callback: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """As :meth:`execute`, with more to say.

        Args:
            process: id.
            inputs: of it.
            callback: an address that is sent the results, or why there are none.
            idempotency_key: the same request with it is the same job.
        """
        asked: Document = {"inputs": dict(inputs), "response": "document"}
        if callback is not None:
            asked["subscriber"] = {"successUri": callback, "failedUri": callback}
        told = self._http.send(
            "POST",
            f"processes/{quote(process, safe='')}/execution",
            content=json.dumps(asked).encode(),
            # Where an answer is lost it is asked for again, which must not be done twice.
            condition={"Prefer": "respond-async", "Idempotency-Key": idempotency_key or str(uuid4())},
        )
        return Job(self._http, told.json())

    def job(self, identifier: str) -> Job:
        """A job of one's own.

        Raises:
            NotFoundError: there is none.
        """
        return Job(self._http, self._http("GET", f"jobs/{quote(identifier, safe='')}"))

    def jobs(self, *, status: str | None = None, process: str | None = None, limit: int = 100) -> list[Job]:
        """One's own jobs (an admin's are all), the newest first."""
        asked = {"limit": str(min(limit, 100)), "status": status, "processID": process}
        address: str | None = "jobs"
        params: dict[str, str] | None = {name: value for name, value in asked.items() if value}
        found: list[Job] = []
        while address is not None and len(found) < limit:
            page = self._http("GET", address, params=params)
            found += [Job(self._http, document) for document in page["jobs"]]
            address = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
            params = None  # the address has them
        return found[:limit]

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.__exit__(kind, error, trace)


class Job:
    """A job, asked about whenever there may be something new."""

    def __init__(self, http: Http, document: Document) -> None:
        """Args:
        http: the API of jobs.
        document: how it was when somebody last asked.
        """
        self._http = http
        self._document = document

    @property
    def id(self) -> str:
        """Its id."""
        return str(self._document["id"])

    @property
    def process(self) -> str:
        """What it is a job of."""
        return str(self._document["processID"])

    @property
    def status(self) -> str:
        """accepted, running, successful, failed or dismissed."""
        return str(self.document()["status"])

    def document(self) -> Document:
        """All that is told of it."""
        if self._document["status"] in OPEN:
            self._document = self._http("GET", self._here)
        return self._document

    def wait(self, timeout_s: float | None = None, *, show: bool = True) -> Job:
        """Waits until it is over, with a bar, and answers itself: it may have failed.

        Args:
            timeout_s: no longer than so long [s].
            show: whether there is a bar.

        Raises:
            TimeoutError: it goes on.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        from rich.console import Console

        watch(self._look, None if show else Console(quiet=True), until=until)
        if self._document["status"] in OPEN:
            raise TimeoutError(f"Job {self.id} is {self._document['status']} after {timeout_s:g} s.")
        return self

    def results(self) -> Any:
        """What it gave: its outputs by name. It is not waited for.

        Raises:
            ProcessFailedError: it failed, or was dismissed.
            NotFoundError: it is not over.
        """
        from almagest.core.jobs import ProcessFailedError

        document = self.document()
        if document["status"] in {"failed", "dismissed"}:
            why = document.get("exception", {}).get("detail") or "there are no results"
            raise ProcessFailedError(f"Job {self.id} was {document['status']}: {why}")
        told = self._http.send("GET", f"{self._here}/results")
        return told.json() if told.content else {}

    def log(self) -> list[Event]:
        """What became of it, and what it said, so far."""
        found: list[Document] = []
        while True:
            behind = str(found[-1]["id"]) if found else "0"
            page = self._http("GET", f"{self._here}/log", params={"after": behind})["events"]
            found += page
            if len(page) < _PAGE:
                return [Event(datetime.fromisoformat(e["at"]), e["kind"], e["message"]) for e in found]

    def cancel(self) -> None:
        """Dismisses it, if it is not over."""
        if self.status in OPEN:
            self._http.send("DELETE", self._here)

    @property
    def _here(self) -> str:
        return f"jobs/{self.id}"

    def _look(self) -> Look:
        document = self.document()
        return Look(document["status"], document["progress"], document["message"])

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.process}, {self._document['status']}>"
