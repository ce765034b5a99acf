"""Files that callers keep, over HTTP: brought, listed, fetched (in parts, too) and removed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from almagest.catalogue import uploads
from almagest.catalogue.own_files import OwnFile, Room
from almagest.catalogue.uploads import Incoming
from almagest.core.errors import BadRequestError, ForbiddenError, NotFoundError, TooLargeError
from almagest.core.filenames import file_name
from almagest.core.hrefs import OWN_FILES
from almagest.core.settings import Settings
from almagest.services.assets.presign import Method, Presigner
from almagest.services.ops.answers import json_answer, link
from almagest.services.ops.asked import behind, page_size, page_token
from almagest.services.ops.bodies import FORM_BYTES, Form, expected_sha256, is_form, raw
from almagest.services.ops.cabinet import Cabinet
from almagest.services.web.audited import of_others
from almagest.services.web.caller import Caller
from almagest.services.web.etags import Condition, is_known, not_modified
from almagest.services.web.inventory import Scope

#: Where nginx finds the folder of these files; nobody else can ask for it.
INTERNAL_PATH = "/_own_files/"
_PAGE, _LARGEST_PAGE = 100, 1000
_SUBJECT = re.compile(r"(user|key):[!-~]{1,100}")


class FileDesk:
    """Answers requests about files."""

    def __init__(self, cabinet: Cabinet, settings: Settings, base: str) -> None:
        """Args:
        cabinet: has the files.
        settings: where the store is.
        base: public address of this API, without a slash at its end.

        Raises:
            ConfigurationError: there is a bucket, but its keys are missing.
        """
        self._cabinet = cabinet
        self._settings = settings
        self._presigner = Presigner(settings)
        self._base = f"{base}/files"

    def install(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_route("/files", self.listing)
        app.add_route("/files", self.post, methods=["POST"])
        app.add_route("/files/{name}", self.fetch, methods=["GET", "HEAD"])
        app.add_route("/files/{name}", self.put, methods=["PUT"])
        app.add_route("/files/{name}", self.remove, methods=["DELETE"])

    async def listing(self, request: Request) -> Response:
        """One's own files, the newest first."""
        subject, limit = _subject(request), page_size(request, _PAGE, _LARGEST_PAGE)
        found = await self._cabinet.listed(subject, behind(request), limit + 1)
        room = await self._cabinet.room(subject)
        links = [link("self", f"{self._base}{_query(request)}", "This document")]
        if len(found) > limit:
            last = found[limit - 1]
            links.append(
                link(
                    "next",
                    f"{self._base}{_query(request, limit=limit, token=page_token(last.created_at, last.id))}",
                    "The next ones",
                )
            )
        shown = [self._document(file, request) for file in found[:limit]]
        used = {"used": room.used, "most_of_all": room.most_of_all, "most_of_one": room.most_of_one}
        return json_answer({"files": shown, "room": used, "links": links})

    async def post(self, request: Request) -> Response:
        """Takes a file in, of a form or as it is. A name that is taken stays what it is."""
        if is_form(request):
            return await self._receive(request, None, Form(request), may_replace=False)
        name = request.query_params.get("name")
        if name is None:
            raise BadRequestError("Send a form with a part `file`, or the file itself and its name as `?name=`.")
        return await self._receive(request, file_name(name), raw(request), may_replace=False)

    async def put(self, request: Request) -> Response:
        """Takes a file in under a name, whatever that stood for."""
        name = file_name(request.path_params["name"])
        return await self._receive(request, name, raw(request), may_replace=True)

    async def fetch(self, request: Request) -> Response:
        """The bytes of a file: nginx sends them, or the bucket."""
        file = await self._find(request)
        tag = _tag(file)
        if is_known(request, tag):
            return not_modified(tag)
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if self._settings.s3.bucket:
            method: Method = "HEAD" if request.method == "HEAD" else "GET"
            target = self._presigner.own(file.key, method)
            return RedirectResponse(target, 307, headers={**headers, "Cache-Control": "no-store"})
        return Response(
            headers={
                **headers,
                "X-Accel-Redirect": INTERNAL_PATH + quote(file.key.removeprefix(f"{OWN_FILES}/")),
                "Content-Type": file.media_type,
                "Content-Disposition": uploads.attachment(file.name),
            }
        )

    async def remove(self, request: Request) -> Response:
        """Removes a file."""
        file = await self._find(request)
        condition = Condition(request)
        condition.check_tag(_tag(file))
        await self._cabinet.remove(file.subject, file.name, file.sha256 if condition.is_given else None)
        return Response(status_code=204)

    async def _receive(
        self, request: Request, name: str | None, body: AsyncIterator[bytes] | Form, *, may_replace: bool
    ) -> Response:
        subject, expected, condition = _subject(request), expected_sha256(request), Condition(request)
        room = await self._cabinet.room(subject)
        most, refusal = _most(room, Caller.of(request.scope), 0 if may_replace else room.used)
        declared = request.headers.get("content-length", "")
        around = FORM_BYTES if isinstance(body, Form) else 0
        if most is not None and declared.isdecimal() and int(declared) - around > most:
            raise TooLargeError(refusal)
        former = await self._former(subject, name) if condition.is_given else None
        if condition.is_given:
            condition.check_tag(_tag(former) if former else None)
        with await self._cabinet.work(Incoming, self._settings, most, refusal) as incoming:
            async for chunk in body:
                await self._cabinet.work(incoming.write, chunk)
            if isinstance(body, Form):
                name = file_name(body.name or request.query_params.get("name") or "")
            if expected is not None and incoming.sha256 != expected:
                raise BadRequestError(
                    f"The SHA-256 of what arrived is {incoming.sha256.hex()}, not {expected.hex()}: send it again."
                )
            assert name is not None
            added = await self._cabinet.add(
                incoming,
                subject,
                name,
                may_replace=may_replace and (former is not None or not condition.is_given),
                in_place_of=former.sha256 if former else None,
            )
        document = self._document(added.file, request)
        status = 201 if added.outcome == "created" else 200
        return json_answer(document, status, {"Location": document["links"][0]["href"], "ETag": _tag(added.file)})

    async def _former(self, subject: str, name: str | None) -> OwnFile | None:
        if name is None:
            raise BadRequestError("If-Match, If-None-Match: PUT the file under its name instead of sending a form.")
        try:
            return await self._cabinet.find(subject, name)
        except NotFoundError:
            return None

    async def _find(self, request: Request) -> OwnFile:
        return await self._cabinet.find(_subject(request), file_name(request.path_params["name"]))

    def _document(self, file: OwnFile, request: Request) -> dict[str, Any]:
        here = f"{self._base}/{quote(file.name, safe='')}{_query(request)}"
        return {
            "name": file.name,
            "size": file.size,
            "type": file.media_type,
            "sha256": file.sha256.hex(),
            "created": file.created_at.isoformat().replace("+00:00", "Z"),
            # What a process of its owner opens it by.
            "href": uploads.href(self._settings, file.key),
            "links": [{"rel": "enclosure", "type": file.media_type, "title": file.name, "href": here}],
        }


def _subject(request: Request) -> str:
    """Whose files are meant.

    Raises:
        ForbiddenError: somebody else's, and the caller is no admin.
        BadRequestError: nobody's.
    """
    caller = Caller.of(request.scope)
    subject = request.query_params.get("subject", caller.subject)
    if subject != caller.subject and not caller.may(Scope.ADMIN):
        raise ForbiddenError("Only an admin names somebody else by `subject`.")
    if subject != caller.subject:
        of_others()
    if not _SUBJECT.fullmatch(subject):
        raise BadRequestError("subject: whose files are meant, as `user:<id>` or `key:<id>`.")
    return subject


def _most(room: Room, caller: Caller, used: int) -> tuple[int | None, str]:
    """How many bytes a file may have, where so many stay taken, and what is said of more."""
    tier = f"of the tier `{caller.tier}` " if caller.tier else ""
    limits = [
        (max(most - taken, 0), f"{what} {tier}{have} {most:,} bytes at most ({most / 2**20:g} MiB).")
        for most, taken, what, have in (
            (room.most_of_one, 0, "A file", "has"),
            (room.most_of_all, used, "All files of one", "have"),
        )
        if most is not None
    ]
    return min(limits, default=(None, ""))


def _tag(file: OwnFile) -> str:
    return f'"{file.sha256.hex()}"'


def _query(request: Request, **more: Any) -> str:
    subject = request.query_params.get("subject")
    values = {**({"subject": subject} if subject else {}), **more}
    return f"?{urlencode(values)}" if values else ""
