"""Files that one keeps at a catalogue: sent and fetched piece by piece, and compared with what the other side has."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from almagest.client.http import Http, refusal
from almagest.core.errors import AlmagestError, DatabaseUnavailableError

Document = dict[str, Any]

_CHUNK = 1 << 20
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class Files:
    """The files of one key.

    Args:
        url: address of the STAC API, or of `/ops` beside it.
        key: with the scope `files:write`.
        transport: how requests travel, where not over the network.
    """

    def __init__(self, url: str, key: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = f"{operations(url)}/files"
        self._http = Http(operations(url), key, transport=transport)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=_TIMEOUT, headers=headers, transport=transport)

    def upload(
        self, path: Path, name: str, *, replace: bool = False, progress: Callable[[int], None] = lambda _: None
    ) -> Document:
        """Sends a file; answers what is known of it there.

        Args:
            path: of the file.
            name: what it is called there.
            replace: whether it may take the place of another of this name.
            progress: told how many bytes went out, again and again.

        Raises:
            AlmagestError: it is refused, or the service does not answer.
            OSError: it cannot be read.
        """
        digest = hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                yield chunk
                progress(len(chunk))

        with path.open("rb") as file:
            length = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
            method, url, params = (
                ("PUT", f"{self._url}/{quote(name, safe='')}", {}) if replace else ("POST", self._url, {"name": name})
            )
            try:
                response = self._client.request(method, url, params=params, content=chunks(), headers=length)
            except httpx.HTTPError as error:
                raise _silent(url, error) from None
        if not response.is_success:
            raise refusal(response, with_key="Authorization" in self._client.headers)
        document: Document = response.json()
        if document["sha256"] != digest.hexdigest():
            raise AlmagestError(f"{path} changed on its way, or while it was read: upload it again.")
        return document

    def listed(self) -> Iterator[Document]:
        """All files, the newest first."""
        page: str | None = self._url
        while page:
            document = self._http("GET", page)
            yield from document["files"]
            page = next((link["href"] for link in document["links"] if link["rel"] == "next"), None)

    def download(self, name: str, target: Path, *, begin: Callable[[int], Callable[[int], None]]) -> None:
        """Fetches a file; it is at ``target`` once it is whole, and not before.

        Args:
            name: of the file.
            target: where it goes.
            begin: told how large it is; answers what is told how many bytes came in, again and again.

        Raises:
            AlmagestError: there is none, it came in wrong, or the service does not answer.
            OSError: it cannot be written.
        """
        url = f"{self._url}/{quote(name, safe='')}"
        descriptor, draft = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                expected, found = self._fetch(url, file.write, begin)
            if expected != found:
                raise AlmagestError(f"{name} did not come in as it is there: download it again.")
            mask = os.umask(0)
            os.umask(mask)
            Path(draft).chmod(0o666 & ~mask)
            Path(draft).replace(target)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        """Removes a file.

        Raises:
            NotFoundError: there is none.
        """
        self._http.send("DELETE", f"{self._url}/{quote(name, safe='')}")

    def _fetch(
        self, url: str, write: Callable[[bytes], object], begin: Callable[[int], Callable[[int], None]]
    ) -> tuple[str, str]:
        """The hash that the service tells of a file, and that of what came in."""
        digest = hashlib.sha256()
        # Compressed on the way, it would not be what is hashed.
        headers = {"Accept-Encoding": "identity"}
        try:
            # The bytes may lie in a bucket: the key goes to the service alone.
            with self._client.stream("GET", url, headers=headers, follow_redirects=True) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response, with_key="Authorization" in self._client.headers)
                told = (response.history[0] if response.history else response).headers.get("etag", "")
                progress = begin(int(response.headers.get("content-length", 0)))
                for chunk in response.iter_bytes(_CHUNK):
                    digest.update(chunk)
                    write(chunk)
                    progress(len(chunk))
        except httpx.HTTPError as error:
            raise _silent(url, error) from None
        return told.strip('"'), digest.hexdigest()

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._http.__exit__(kind, error, trace)


def operations(url: str) -> str:
    """The address of `/ops` beside a STAC API, without a slash at its end."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    before, _, last = path.rpartition("/")
    beside = path if last == "ops" else f"{before if last in {'api', 'external'} else path}/ops"
    return urlunsplit((parts.scheme, parts.netloc, beside, "", ""))


def _silent(url: str, error: httpx.HTTPError) -> DatabaseUnavailableError:
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return DatabaseUnavailableError(f"{urlsplit(url).netloc} does not answer ({reason}).")
