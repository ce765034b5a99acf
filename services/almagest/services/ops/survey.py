"""Asks every process on its socket how it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx

from almagest.core.processes import services
from almagest.core.settings import Settings

_PATIENCE_S = 4.0  # a process gives its own check three seconds


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


async def survey(settings: Settings) -> list[Found]:
    """How every process is, in the order of their start."""
    asked = [(service.name, socket) for service in services(settings) for socket in service.sockets(settings)]
    reasons = await asyncio.gather(*(_why_not_ready(socket) for _, socket in asked))
    return [Found(name, socket.stem, reason) for (name, socket), reason in zip(asked, reasons, strict=True)]


async def counts(settings: Settings) -> dict[str, dict[str, int]]:
    """What each ops process has counted, by its name; those that do not answer are left out."""
    sockets = [path for service in services(settings) if service.kind == "ops" for path in service.sockets(settings)]
    answers = await asyncio.gather(*(_ask(socket, "/counts") for socket in sockets))
    return {
        socket.stem: answer.json()
        for socket, answer in zip(sockets, answers, strict=True)
        if isinstance(answer, httpx.Response) and answer.status_code == 200
    }


async def _why_not_ready(socket: Path) -> str | None:
    answer = await _ask(socket, "/readyz")
    if isinstance(answer, str):
        return answer
    if answer.status_code == 200:
        return None
    try:
        return "; ".join(map(str, answer.json()["reasons"]))
    except (ValueError, KeyError, TypeError):
        return f"answers {answer.status_code}"


async def _ask(socket: Path, path: str) -> httpx.Response | str:
    """The answer, or why there is none."""
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    try:
        async with httpx.AsyncClient(transport=transport, timeout=_PATIENCE_S, base_url="http://localhost") as client:
            return await client.get(path)
    except httpx.TimeoutException:
        return f"does not answer within {_PATIENCE_S:g} s"
    except httpx.ConnectError:
        return "does not listen"
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
