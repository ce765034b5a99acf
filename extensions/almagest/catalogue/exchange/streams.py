"""JSON documents out of byte streams: lines, or values one after the other, gzipped or not, one document at a time."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from almagest.catalogue.exchange.records import MAX_DOCUMENT_BYTES, SIGNS, Kind, Reading, Record, Unreadable, kind

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 256 * 1024
_WHITE = " \t\r\n"
#: What documents that only hold others (feature collections, pages of an API) keep them under.
_HOLDS_DOCUMENTS = frozenset({"features", "collections"})
_BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


class Stream:
    """A file of JSON documents, with how far it has been read."""

    def __init__(self, path: Path, shown: str, *, lines: bool | None = None) -> None:
        """`shown` names places in the file; `lines` is whether each line is a document, None to find out."""
        self.path = path
        self.shown = shown
        self.size = path.stat().st_size
        self._lines = lines
        self._raw: BinaryIO | None = None

    def position(self) -> int:
        """How many bytes of the file have been read, compressed ones if it is."""
        return self._raw.tell() if self._raw and not self._raw.closed else 0

    def readings(self, wanted: Kind) -> Iterator[Reading]:
        """The documents of one kind in order, and what is unreadable: where a file breaks off, the last one."""
        if wanted != "item" and not _mentions(self.path, SIGNS[wanted]):
            return iter(())
        return (found for found in self._all() if isinstance(found, Unreadable) or kind(found.data) == wanted)

    def _all(self) -> Iterator[Reading]:
        try:
            with self.path.open("rb", _CHUNK) as raw:
                self._raw = raw
                magic = raw.read(2)
                raw.seek(0)
                opened = io.BufferedReader(gzip.GzipFile(fileobj=raw), _CHUNK) if magic == _GZIP_MAGIC else raw
                yield from self._documents(opened)
        except _BROKEN_GZIP as error:
            yield Unreadable(self.shown, f"the gzipped file is damaged or breaks off: {error}")
        except OSError as error:
            yield Unreadable(self.shown, f"cannot be read: {error.strerror or error}")

    def _documents(self, opened: BinaryIO | io.BufferedReader) -> Iterator[Reading]:
        first = opened.readline(MAX_DOCUMENT_BYTES)
        while first and not first.strip():
            first = opened.readline(MAX_DOCUMENT_BYTES)
        opened.seek(0)
        if self._lines if self._lines is not None else _stands_alone(first):
            yield from _lines(opened, self.shown)
        else:
            yield from values(opened, self.shown)


def _mentions(path: Path, sign: bytes) -> bool:
    """Whether a word is in a file, as far as that can be told without reading line by line."""
    try:
        # Not mapped: what was looked at would count as memory of ours.
        with path.open("rb", 0) as file:
            if not file.seekable() or (text := file.read(2)) == _GZIP_MAGIC:
                return True
            while chunk := file.read(_CHUNK):
                text = text[-len(sign) :] + chunk
                if sign in text:
                    return True
    except OSError:
        return True
    return False


def _stands_alone(line: bytes) -> bool:
    """Whether a first line is a document, so that the others are expected to be documents too."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and not _holds_documents(value)


def _holds_documents(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") in {None, "FeatureCollection"}
        and any(isinstance(value.get(key), list) for key in _HOLDS_DOCUMENTS)
    )


def _lines(opened: BinaryIO | io.BufferedReader, shown: str) -> Iterator[Reading]:
    number = 0
    while line := opened.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        where = f"{shown}:{number}"
        if len(line) > MAX_DOCUMENT_BYTES:
            while line and not line.endswith(b"\n"):
                line = opened.readline(MAX_DOCUMENT_BYTES)
            yield Unreadable(where, _TOO_LARGE)
        elif document := line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip():
            if b'"FeatureCollection"' in document:
                yield from values(io.BytesIO(document), where)
            else:
                yield Record(where, document)


_TOO_LARGE = f"is larger than {MAX_DOCUMENT_BYTES // 2**20} MiB"


def values(opened: BinaryIO | io.BufferedReader, shown: str) -> Iterator[Reading]:
    """The documents of a stream of JSON values: feature collections and arrays are opened, and never held whole."""
    reader = _Values(opened)
    place = shown
    try:
        for count, text in enumerate(reader.documents(), 1):
            place = f"{shown} (document {count + 1})"
            where = shown if count == 1 and reader.alone else f"{shown} (document {count})"
            yield Record(where, text.encode(errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        yield Unreadable(place, f"is not JSON: {error}")


class _Values:
    """Cuts JSON text into values without holding more than one of them."""

    def __init__(self, opened: BinaryIO | io.BufferedReader) -> None:
        self._opened = opened
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False
        #: Whether the document last given is a file's whole value, and no part of a larger one.
        self.alone = True

    def documents(self) -> Iterator[str]:
        while self._peek():
            if self._text[self._at] == "[":
                yield from self._elements()
            elif self._text[self._at] == "{":
                yield from self._object()
            else:
                yield self._value()

    def _elements(self) -> Iterator[str]:
        self.alone = False
        self._expect("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() != ",":
                break
            self._at += 1
        self._expect("]")

    def _object(self) -> Iterator[str]:
        """A document; or if it holds documents, those, found before the whole has been read."""
        members: list[str] = []
        holds = False
        names_another_type = False
        self._expect("{")
        while self._peek() != "}":
            if self._peek() != '"':
                raise json.JSONDecodeError("Expecting a name in quotes", self._text, self._at)
            key = self._value()
            self._expect(":")
            name = json.loads(key)
            if self._peek() == "[" and name in _HOLDS_DOCUMENTS and not names_another_type:
                holds = True
                yield from self._elements()
            else:
                value = self._value()
                names_another_type |= name == "type" and value not in {'"FeatureCollection"', "null"}
                if not holds:
                    members.append(f"{key}:{value}")
            if self._peek() != ",":
                break
            self._at += 1
        self._expect("}")
        if not holds:
            yield f"{{{','.join(members)}}}"

    def _value(self) -> str:
        self._peek()
        needed = 0
        while True:
            failure: ValueError = ValueError(_TOO_LARGE)
            try:
                _, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise
                failure = error
            else:
                # A number may go on in what has not been read.
                if end < len(self._text) or self._ended:
                    text = self._text[self._at : end]
                    self._at = end
                    return text
            if len(self._text) - self._at > MAX_DOCUMENT_BYTES:
                raise failure
            # Twice as much each time, or a large value would be looked at over and over.
            needed = max(_CHUNK, 2 * needed)
            self._more(needed)

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise json.JSONDecodeError(f"Expecting {character!r}", self._text, self._at)
        self._at += 1

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _WHITE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more(_CHUNK)

    def _more(self, size: int) -> None:
        data = self._opened.read(size)
        self._ended = not data
        self._text = self._text[self._at :] + self._decoder.decode(data, final=not data)
        self._at = 0
