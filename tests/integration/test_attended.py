"""Who hangs up does not leave his search behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from almagest.catalogue import database
from almagest.core.settings import Settings
from almagest.services.stac.app import create_app
from almagest.services.web.attended import Attended

_AT_IT = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%%search_page%%' AND {}"
)
_RUNNING = _AT_IT.format("state = 'active' AND pid <> pg_backend_pid()")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_search_ends_when_the_client_goes(settings: Settings, method: str) -> None:
    """nginx counts the searches of an address only as long as somebody waits for them."""

    async def gone() -> tuple[int, int, list[Any]]:
        app = create_app(settings)
        hung_up, sent = asyncio.Event(), []
        body = json.dumps({"limit": 1}).encode() if method == "POST" else b""
        headers = {b"x-scopes": b"catalogue:read", b"content-type": b"application/json", b"host": b"localhost"}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "root_path": "",
            "server": None,
            "path": "/api/search",
            "raw_path": b"/api/search",
            "query_string": b"",
            "client": ("192.0.2.1", 1),
            "headers": [*headers.items()],
        }
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        with database.connect(settings, settings.database.admin_user, autocommit=False) as locking:
            async with app.router.lifespan_context(app):
                locking.execute("LOCK TABLE pgstac.items")
                asking = asyncio.create_task(app(scope, receive, send))
                with database.connect(settings, settings.database.admin_user) as watching:

                    async def until(running: int) -> int:
                        for _ in range(100):
                            (found,) = watching.execute(_RUNNING).fetchone() or (0,)
                            if found == running:
                                break
                            await asyncio.sleep(0.05)
                        return int(found)

                    before = await until(1)
                    hung_up.set()
                    async with asyncio.timeout(5):
                        await asking
                    after = await until(0)
                locking.rollback()
        return before, after, sent

    assert asyncio.run(gone()) == (1, 0, [])


def test_a_write_goes_on_when_the_client_goes() -> None:
    async def written() -> bool:
        done = False

        async def writing(scope: Any, receive: Any, send: Any) -> None:
            nonlocal done
            await asyncio.sleep(0.05)
            done = True

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None: ...

        await Attended(writing)({"type": "http", "method": "PUT", "path": "/collections/a"}, receive, send)
        return done

    assert asyncio.run(written())


def test_what_is_to_be_done_after_the_answer_is_done() -> None:
    """A server reports a departure, too, as soon as all is sent."""

    async def answered() -> list[str]:
        told: list[str] = []
        over = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["type"] == "http.request"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            await asyncio.sleep(0.05)
            told.append("afterwards")

        async def receive() -> Any:
            if not told:
                told.append("asked")
                return {"type": "http.request", "body": b"", "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                over.set()

        await Attended(app)({"type": "http", "method": "GET", "path": "/search"}, receive, send)
        return told

    assert asyncio.run(answered()) == ["asked", "afterwards"]


def test_where_the_server_ends_a_request_it_ends() -> None:
    async def ended() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.Event().wait()

        async def receive() -> Any:
            if not begun.is_set():
                begun.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.Event().wait()
            raise AssertionError("nothing more comes")

        async def send(message: Any) -> None: ...

        begun = asyncio.Event()
        task = asyncio.create_task(Attended(app)({"type": "http", "method": "GET", "path": "/"}, receive, send))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ended())
