"""Asks every process where it listens how it is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from almagest.core.processes import Process, services
from almagest.core.settings import Settings

_PATIENCE_S = 4.0  # a process gives its own check three seconds
#: Nothing is encrypted between us. Reading the system's certificates takes 30 ms for each question, in which nobody
#: else is answered.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class Found:
    """How one process is.

    Attributes:
        service: whose process it is.
        process: its name.
        reason: why it is not ready; None where it is.
    """

    service: str
    process: str
    reason: str | None


@dataclass(frozen=True)
class Told:
    """What one process has counted.

    Attributes:
        service: whose process it is.
        process: its name.
        numbers: see :mod:`almagest.services.web.measured`.
    """

    service: str
    process: str
    numbers: Mapping[str, Any]


async def survey(settings: Settings) -> list[Found]:
    """How every process is, in the order of their start."""
    found = await _processes(settings)
    reasons = await asyncio.gather(*(_why_not_ready(process) for _, process in found))
    return [
        Found(name, process.name if process else name, reason)
        for (name, process), reason in zip(found, reasons, strict=True)
    ]


async def counts(settings: Settings) -> list[Told]:
    """What each process has counted; those that do not answer are left out."""
    asked = [(name, process) for name, process in await _processes(settings) if process]
    answers = await asyncio.gather(*(_ask(process, "/counts") for _, process in asked))
    return [
        Told(name, process.name, answer.json())
        for (name, process), answer in zip(asked, answers, strict=True)
        if isinstance(answer, httpx.Response) and answer.status_code == 200
    ]


async def _processes(settings: Settings) -> list[tuple[str, Process | None]]:
    """Service and process; None where a service elsewhere has none. Looking up a name must not hold up others."""
    listed = await asyncio.to_thread(
        lambda: [(service.name, service.processes(settings)) for service in services(settings)]
    )
    return [(name, process) for name, processes in listed for process in processes or (None,)]


async def _why_not_ready(process: Process | None) -> str | None:
    if process is None:
        return "does not listen"
    answer = await _ask(process, "/readyz")
    if isinstance(answer, str):
        return answer
    if answer.status_code == 200:
        return None
    try:
        return "; ".join(map(str, answer.json()["reasons"]))
    except (ValueError, KeyError, TypeError):
        return f"answers {answer.status_code}"


async def _ask(process: Process, path: str) -> httpx.Response | str:
    """The answer, or why there is none."""
    is_here = isinstance(process.place, Path)
    transport = httpx.AsyncHTTPTransport(uds=str(process.place) if is_here else None, verify=_NO_CERTIFICATES)
    origin = "http://localhost" if is_here else f"http://{process.place}"
    try:
        async with httpx.AsyncClient(transport=transport, timeout=_PATIENCE_S, base_url=origin) as client:
            return await client.get(path)
    except httpx.TimeoutException:
        return f"does not answer within {_PATIENCE_S:g} s"
    except httpx.ConnectError:
        return "does not listen"
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
