"""Ends what nobody waits for any more: a client that has gone must not keep a connection to the database busy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Attended:
    """Breaks off reading when the client goes, and with it the statement that the database is at.

    nginx counts the searches of an address for as long as it waits for them. Who asks and hangs up at once would else
    have as many of them run as he likes. Writes go on: whether they have happened must not depend on the line.

    Attributes:
        app: the app behind it.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _only_reads(scope):
            await self.app(scope, receive, send)
            return
        # What the client sends is taken in before: after it, nothing comes but the news that he has gone.
        body = [await receive()]
        while body[-1].get("more_body"):
            body.append(await receive())
        serving = asyncio.current_task()
        assert serving is not None
        has_gone = asyncio.Event()

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            has_gone.set()
            serving.cancel()

        async def receive_again() -> Message:
            if body:
                return body.pop(0)
            await has_gone.wait()
            return {"type": "http.disconnect"}

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                watching.cancel()  # a server calls it a departure, too, when all is sent
            await send(message)

        watching = asyncio.create_task(watch())
        try:
            await self.app(scope, receive_again, send_on)
        except asyncio.CancelledError:
            if not has_gone.is_set():
                raise
            serving.uncancel()
        finally:
            watching.cancel()


def _only_reads(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] in {"GET", "HEAD"} or path.endswith("/search")
