"""Files as they come over HTTP: as the body of a request, or as a part of a form. Piece by piece, as they arrive."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from almagest.core.errors import BadRequestError, UnsupportedMediaTypeError

#: What a form may have around its file.
FORM_BYTES = 64 << 10
#: So much is gathered before a thread is bothered.
_CHUNK = 1 << 20
_FORM = "multipart/form-data"
_PART = "file"
_SHA256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*(:?)([A-Za-z0-9+/=]*)(:?)\s*(?=,|;|$)", re.IGNORECASE)
#: As hexadecimal digits, also as STAC's `file:checksum` has them.
_HEX = re.compile(r"(?:sha256:|1220)?([0-9a-f]{64})", re.IGNORECASE)
_HEADERS = ("content-digest", "repr-digest", "digest")


def is_form(request: Request) -> bool:
    """Whether the body is a form, of which one part is the file."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM


def expected_sha256(request: Request) -> bytes | None:
    """What the client says that the hash of the file is: `?checksum=`, or a digest header (RFC 9530, RFC 3230).

    Raises:
        BadRequestError: it cannot be read, or it is about a whole form.
    """
    named: set[bytes] = set()
    if (given := request.query_params.get("checksum")) is not None:
        found = _HEX.fullmatch(given)
        if found is None:
            raise BadRequestError("checksum: the SHA-256 of the file, 64 hexadecimal digits.")
        named.add(bytes.fromhex(found[1]))
    for header in _HEADERS:
        text = ",".join(request.headers.getlist(header))
        if "sha-256" not in text.lower():
            continue  # other algorithms may be ignored
        if is_form(request):
            raise BadRequestError(f"{header}: it is about the form, not about the file: send `?checksum=` instead.")
        named.add(_digest(header, text))
    if len(named) > 1:
        raise BadRequestError("The request gives two different hashes of the same file.")
    return named.pop() if named else None


def _digest(header: str, text: str) -> bytes:
    found = _SHA256.search(text)
    try:
        digest = base64.b64decode(found[2], validate=True) if found is not None and found[1] == found[3] else b""
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise BadRequestError(f"{header}: write it as `sha-256=:<base64>:`, of the 32 bytes of the hash.")
    return digest


async def raw(request: Request) -> AsyncIterator[bytes]:
    """The body, in pieces worth writing."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) >= _CHUNK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


@dataclass
class Form:
    """The one file of a form. Its name is known when its first bytes are.

    Attributes:
        name: what the client calls it; None until it is read.
    """

    request: Request
    name: str | None = None
    _is_file: bool = field(default=False, init=False)
    _seen: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _header: bytearray = field(default_factory=bytearray, init=False)
    _value: bytearray = field(default_factory=bytearray, init=False)
    _disposition: bytes = field(default=b"", init=False)
    _data: bytearray = field(default_factory=bytearray, init=False)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes of the file.

        Raises:
            BadRequestError: the form is none, or has no such part, or several.
        """
        parser = MultipartParser(
            self._boundary(),
            {
                "on_part_begin": self._on_part,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
        )
        beside = 0
        async for chunk in raw(self.request):
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise BadRequestError(f"The form cannot be read: {error}.") from None
            beside += len(chunk) - len(self._data)
            if beside > 2 * FORM_BYTES:
                raise BadRequestError(f"The form holds more than a part `{_PART}`: send nothing else.")
            if self._data:
                yield bytes(self._data)
                self._data.clear()
        if not self._ended or not self._seen:
            raise BadRequestError(f"The form is cut off, or has no part `{_PART}` with a `filename`.")

    def _boundary(self) -> bytes:
        _, options = parse_options_header(self.request.headers["content-type"].encode("latin-1"))
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 256:
            raise UnsupportedMediaTypeError("Content-Type: multipart/form-data needs a `boundary`.")
        return boundary

    def _on_part(self) -> None:
        self._is_file, self._disposition = False, b""

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != _PART.encode():
            return
        if self._seen:
            raise BadRequestError(f"The form has two parts `{_PART}`: send one file at a time.")
        self._is_file = self._seen = True
        if b"filename" in options:
            self.name = _unescaped(options[b"filename"])

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._data += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def _unescaped(name: bytes) -> str:
    """Browsers write these three, and nothing else, with percent signs."""
    for escaped, sign in ((b"%22", b'"'), (b"%0D", b"\r"), (b"%0A", b"\n")):
        name = name.replace(escaped, sign)
    return name.decode(errors="replace")
