"""Files that callers keep, described."""

from __future__ import annotations

from collections.abc import Mapping

from almagest.services.ops.openapi.operations import Answer, Operation, Parameter, Schema, ref
from almagest.services.ops.openapi.schemas import MOMENT, STRING, WHOLE, many, nullable, of

_TAG = "Files"
_BYTES: Schema = {"type": "string", "format": "binary"}
_ANY = "application/octet-stream"

_SUBJECT = Parameter("subject", "Whose they are; for admins, as `user:<id>` or `key:<id>`.", STRING)
_CHECKSUM = Parameter("checksum", "SHA-256 of the bytes, in hexadecimal: others are not kept.", STRING)
_STORED = {"Location": "Where it can be fetched.", "ETag": "SHA-256 of its bytes."}
_MADE = Answer("It is kept.", ref("File"), headers=_STORED)
_THERE = Answer("It was there, or is kept in the place of another.", ref("File"), headers=_STORED)
_REFUSED = (400, 409, 412, 413, 415, 507)
_ELSEWHERE = Answer("The bucket has them.", headers={"Location": "A link that works for some minutes."})

SCHEMAS: Mapping[str, Schema] = {
    "File": of(
        {
            "name": STRING,
            "size": WHOLE,
            "type": STRING,
            "sha256": STRING,
            "created": MOMENT,
            "href": {**STRING, "description": "What a process of its owner opens it by."},
            "links": many(ref("Link")),
        }
    ),
    "Files": of(
        {
            "files": many(ref("File")),
            "room": of({"used": WHOLE, "most_of_all": nullable(WHOLE), "most_of_one": nullable(WHOLE)}),
            "links": many(ref("Link")),
        }
    ),
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/files"): Operation(
        "files",
        "One's own files",
        _TAG,
        {200: Answer("The newest first, and how much room there is.", ref("Files"))},
        problems=(400,),
        parameters=(
            _SUBJECT,
            Parameter("limit", "So many at most.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
            Parameter("token", "As the `next` link has it.", STRING),
        ),
    ),
    ("POST", "/files"): Operation(
        "addFile",
        "Keep a file, under a name that is free",
        _TAG,
        {200: _THERE, 201: _MADE},
        problems=_REFUSED,
        parameters=(Parameter("name", "Of the file.", STRING), _SUBJECT, _CHECKSUM),
        body=_BYTES,
        media_type=_ANY,
        description="The bytes as they are, or a form (`multipart/form-data`) with one part `file`.",
    ),
    ("GET", "/files/{name}"): Operation(
        "file",
        "The bytes of a file",
        _TAG,
        {
            200: Answer("They are, or a part of them by `Range`.", _BYTES, media_type="*/*"),
            206: Answer("A part of them.", _BYTES, media_type="*/*"),
            304: Answer("They are those that the client has."),
            307: _ELSEWHERE,
        },
        problems=(400, 404, 412, 416),
        parameters=(_SUBJECT,),
    ),
    ("HEAD", "/files/{name}"): Operation(
        "fileHead",
        "What is known of a file",
        _TAG,
        {200: Answer("It is there."), 304: Answer("The client has it."), 307: _ELSEWHERE},
        problems=(400, 404, 412),
        parameters=(_SUBJECT,),
    ),
    ("PUT", "/files/{name}"): Operation(
        "putFile",
        "Keep a file, whatever the name stood for",
        _TAG,
        {200: _THERE, 201: _MADE},
        problems=_REFUSED,
        parameters=(_SUBJECT, _CHECKSUM),
        body=_BYTES,
        media_type=_ANY,
    ),
    ("DELETE", "/files/{name}"): Operation(
        "removeFile",
        "Remove a file",
        _TAG,
        {204: Answer("It is gone.")},
        problems=(400, 404, 412),
        parameters=(_SUBJECT,),
    ),
}
