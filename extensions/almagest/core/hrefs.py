"""Which asset hrefs may be opened on somebody's behalf, and what opening them means.

A document may carry any string as an href, and the libraries behind us would follow most of them anywhere: into
``/etc``, into a zip, to the metadata service of a cloud. So nothing is opened but what :class:`HrefPolicy` returns.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from almagest.core.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from almagest.core.settings import Settings

#: Where files of single callers lie, in the folder of the store or in its bucket. Only they open them, and nobody does
#: because a document names one.
OWN_FILES = "own-files"

_MAX_LENGTH = 4096
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
#: A DNS name whose last label is a word, so that no spelling of an IP address (127.1, 0x7f.1, 2130706433) is one.
_HOST = re.compile(r"(?!localhost(:|$))([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?(:[0-9]{1,5})?")
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".in-addr.arpa", ".ip6.arpa")
#: Formats that are nothing but pointers to other files.
_POINTER_SUFFIXES = (".vrt", ".gti", ".mrf", ".wms", ".ovr", ".aux.xml")
_POINTER_MARKS = (b"<VRTDataset", b"<OGRVRTDataSource", b"<GDAL_WMS", b"<GDAL_WMTS", b"<WMS_Capabilities", b"<MRF_META")
#: What GDAL looks at to recognise a VRT.
_HEAD_BYTES = 1024
_SPECIAL = frozenset("/\\.:%?#@!|<>\"'`")
#: Percent-encoded separators, dots, percent signs of URLs, NULs and other control characters.
_ENCODED_TRICK = re.compile(r"%(?:2f|5c|2e|7f|0[0-9a-f]|1[0-9a-f])", re.IGNORECASE)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
#: What no href holds as it is: whoever wrote it meant the key of an object, not an address.
_NO_HREF = re.compile(r'[\x00-\x20"<>\\^`{|}\x7f]|%(?![0-9A-Fa-f]{2})')
#: What in a key is written in another way where it becomes an href.
_ENCODED_IN_HREF = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/\x80-\U0010ffff-]")
#: What a segment of an address does not hold as it is.
_NO_SEGMENT = re.compile(r"[^!-~]|[?#\\]")
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


#: Collection, item and key.
AssetName = tuple[str, str, str]


class HrefRefusedError(NotFoundError):
    """No file that may be opened stands behind this asset."""


@dataclass(frozen=True)
class HrefPolicy:
    """What may be opened: files below some folders, and https on some hosts.

    Attributes:
        file_roots: folders; symbolic links are followed before a file is compared with them.
        hosts: DNS names, or ``name:port`` for a port other than 443. A name is trusted with all it resolves to.
        own_assets: what the addresses begin with by which outsiders read exposed assets. Where it is given, it is those
            that documents name, and never what is stored; :meth:`own` says which asset is meant.
        bucket: all its objects may be opened, but those of single callers; empty for none.
        closed: folders below those, of which nothing is opened.

    Raises:
        ConfigurationError: a root or a host would open more than anybody can mean.
    """

    file_roots: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    own_assets: str = ""
    bucket: str = ""
    closed: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for root in self.file_roots:
            if not root.is_absolute() or root.resolve() == Path("/"):
                raise ConfigurationError(f"ALMAGEST_STORE_ROOTS: `{root}` is not a folder below which all may be read.")
        for host in self.hosts:
            if not _HOST.fullmatch(host.lower()) or host.lower().split(":")[0].endswith(_PRIVATE_SUFFIXES):
                raise ConfigurationError(f"ALMAGEST_ASSET_HOSTS: `{host}` is not the public DNS name of a server.")

    @classmethod
    def of(cls, settings: Settings, *, external: bool = False) -> HrefPolicy:
        """The policy that the settings describe.

        Args:
            settings: of this catalogue.
            external: for documents as outsiders see them.

        Raises:
            ConfigurationError: a root or a host would open more than anybody can mean, our own secrets for one.
        """
        secrets = settings.secrets.resolve()
        for root in settings.file_roots:
            if secrets.is_relative_to(root.resolve()):
                raise ConfigurationError(f"ALMAGEST_STORE_ROOTS: `{root}` holds the secrets of this catalogue.")
        own_assets = f"{settings.site.origin}/external/assets/" if external else ""
        closed = (settings.store_path / OWN_FILES,)
        return cls(settings.file_roots, settings.store.asset_hosts, own_assets, settings.s3.bucket, closed)

    def permits(self, href: object) -> bool:
        """Whether a document may name this href, as far as a look at it tells; made for pages of a thousand items.

        For files it asks the file system once, so that no link is made to what is not there. An exposed asset is there.
        """
        if not isinstance(href, str):
            return False
        if self.own(href) or (self._object(href) and not self.own_assets):
            return True
        if not self._may_be_permitted(href):
            return False
        try:
            target = _parse(href)
            if target.startswith("https:"):
                return self._host(target) in self._hosts
            is_open = target.startswith(self._lexical_roots) and not target.startswith(self._closed)
            return is_open and Path(target).is_file()
        except (HrefRefusedError, OSError):
            return False

    def may_be_named_in(self, text: str) -> bool:
        """Whether an href that is permitted may stand in a text of JSON, as PostgreSQL prints it."""
        lowered = text.lower()
        return any(sign in lowered for sign in self._signs)

    @cached_property
    def _signs(self) -> tuple[str, ...]:
        """In lower case, what an href that is permitted cannot be without."""
        of_files = ('": "file:', '": "/') if self.file_roots and not self.own_assets else ()
        of_objects = (f"s3://{self.bucket}/".lower(),) if self.bucket and not self.own_assets else ()
        own = (self.own_assets.lower(),) if self.own_assets else ()
        return (*own, *of_objects, *of_files, *(f"//{host}" for host in self._hosts))

    def _may_be_permitted(self, href: str) -> bool:
        """Turns down what most hrefs are, addresses on hosts that nobody listed, without looking at them closely."""
        scheme, separator, rest = href.partition("://")
        if separator and scheme.lower() != "file":
            return rest.partition("/")[0].lower().removesuffix(":443") in self._hosts
        return bool(self.file_roots) and not self.own_assets

    def own(self, href: object) -> AssetName | None:
        """Which exposed asset an href is the address of; None for any other."""
        if not self.own_assets or not isinstance(href, str) or not href.startswith(self.own_assets):
            return None
        segments = href[len(self.own_assets) :].split("/")
        if len(segments) != 3 or not all(segments) or _NO_SEGMENT.search(href) or _BAD_PERCENT.search(href):
            return None
        try:
            collection, item, key = (unquote_to_bytes(segment).decode() for segment in segments)
        except UnicodeDecodeError:
            return None
        # No text of the database can hold a NUL.
        return None if "\0" in collection + item + key else (collection, item, key)

    def resolve(self, href: object) -> str:
        """The real path of a file, GDAL's of an object of our bucket, or an https URL, that is safe to open.

        Raises:
            HrefRefusedError: anything else; its message says nothing about why.
        """
        if in_bucket := self._object(href):
            return in_bucket
        target = _parse(href)
        if target.startswith("https:"):
            if self._host(target) not in self._hosts:
                raise HrefRefusedError
            return target
        return self._file(target)

    def stored(self, href: object) -> str:
        """The real path of a file to hand out as it is, whatever its content.

        Raises:
            HrefRefusedError: there is none below the folders; its message says nothing about why.
        """
        target = _parse(href)
        if target.startswith("https:"):
            raise HrefRefusedError
        return self._regular(target)[0]

    def choose(self, asset: Mapping[str, Any]) -> str | None:
        """The href by which an asset is best opened, what is stored here before the network; None if none may be."""
        own = asset.get("href")
        if "alternate" not in asset:
            return own if self.permits(own) else None
        permitted = [href for href in candidates(asset) if self.permits(href)]
        stored_here = (href for href in permitted if self.own(href) or not href.lower().startswith("https:"))
        return next(stored_here, next(iter(permitted), None))

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(host.lower().removesuffix(":443") for host in self.hosts)

    @cached_property
    def _real_roots(self) -> tuple[str, ...]:
        return tuple(f"{os.path.realpath(root)}/" for root in self.file_roots)

    @cached_property
    def _closed(self) -> tuple[str, ...]:
        return (*(f"{folder}/" for folder in self.closed), *(f"{os.path.realpath(folder)}/" for folder in self.closed))

    @cached_property
    def _lexical_roots(self) -> tuple[str, ...]:
        """A root as it is spelled, and as it is: hrefs are written either way."""
        return (*(f"{root}/" for root in self.file_roots), *self._real_roots)

    @staticmethod
    def _host(url: str) -> str:
        return urlsplit(url).netloc

    def _object(self, href: object) -> str | None:
        key = s3_key(href, self.bucket)
        if key is None or key.lower().endswith(_POINTER_SUFFIXES) or _is_tricky(key):
            return None
        return f"/vsis3/{self.bucket}/{key}"

    def _file(self, path: str) -> str:
        real, head = self._regular(path)
        is_markup = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        if real.lower().endswith(_POINTER_SUFFIXES) or is_markup or any(mark in head for mark in _POINTER_MARKS):
            raise HrefRefusedError
        return real

    def _regular(self, path: str) -> tuple[str, bytes]:
        """The real path of a regular file below the folders that can be read, and its first bytes."""
        try:
            real = os.path.realpath(path, strict=True)
            if not real.startswith(self._real_roots) or real.startswith(self._closed):
                raise HrefRefusedError
            # Not blocking, or a named pipe would hold us for ever; not following, since real paths hold no links.
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise HrefRefusedError
                return real, os.read(descriptor, _HEAD_BYTES)
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            raise HrefRefusedError from None


def candidates(asset: Mapping[str, Any]) -> Iterator[str]:
    """All hrefs of an asset: its own, then those of the alternate-assets extension."""
    alternates = asset.get("alternate")
    for place in (asset, *(alternates.values() if isinstance(alternates, Mapping) else ())):
        if isinstance(place, Mapping) and isinstance(href := place.get("href"), str):
            yield href


def s3_key(href: object, bucket: str) -> str | None:
    """The key of an object in a bucket; None for other hrefs, for keys that clients spell in two ways, and for files of
    single callers.

    Some write the key as it is. So what is no href, for a space or a lone percent sign in it, is taken for a key, and
    only what can be an href is decoded.
    """
    if not bucket or not isinstance(href, str) or not href.startswith(f"s3://{bucket}/") or len(href) > _MAX_LENGTH:
        return None
    key = href[len(f"s3://{bucket}/") :]
    if not _NO_HREF.search(key):
        if _ENCODED_TRICK.search(key):
            return None
        try:
            key = unquote_to_bytes(key).decode()
        except UnicodeDecodeError:
            return None
    segments = key.split("/")
    is_none = not {"", ".", ".."}.isdisjoint(segments) or not key.isprintable() or segments[0] == OWN_FILES
    return None if is_none else key


def s3_href(bucket: str, key: str) -> str:
    """The href of an object, whatever its key."""
    return f"s3://{bucket}/{_ENCODED_IN_HREF.sub(lambda found: f'%{ord(found[0]):02X}', key)}"


def _parse(href: object) -> str:
    """An absolute path or an https URL without anything that a reader could understand in two ways."""
    if not isinstance(href, str) or not 0 < len(href) <= _MAX_LENGTH or href != href.strip() or _is_tricky(href):
        raise HrefRefusedError
    scheme = _SCHEME.match(href)
    if scheme is None:
        return _path(href)
    match scheme.group().lower():
        case "file:":
            return _path(_decoded(href[len("file:") :]))
        case "https:":
            return _url(href)
    raise HrefRefusedError


def _is_tricky(text: str) -> bool:
    """Whether a text has characters that are invisible, or look or normalise like ones with a meaning in an href."""
    if "\\" in text:
        return True
    if text.isascii():
        return not text.isprintable()
    return any(
        unicodedata.category(c) in _UNPRINTABLE or not _SPECIAL.isdisjoint(unicodedata.normalize("NFKC", c))
        for c in text
        if not (c.isascii() and c.isprintable())
    )


def _decoded(rest: str) -> str:
    # Exactly three slashes: no host, and no second way to write the root. Neither query nor fragment name a file.
    if not rest.startswith("///") or rest.startswith("////") or "?" in rest or "#" in rest:
        raise HrefRefusedError
    if _ENCODED_TRICK.search(rest) or _BAD_PERCENT.search(rest):
        raise HrefRefusedError
    try:
        path = unquote_to_bytes(rest[2:]).decode()
    except UnicodeDecodeError:
        raise HrefRefusedError from None
    if _is_tricky(path):
        raise HrefRefusedError
    return path


def _path(path: str) -> str:
    if not path.startswith("/") or path.startswith("//") or path.lower().startswith("/vsi"):
        raise HrefRefusedError
    if not {".", ".."}.isdisjoint(path.split("/")) or path.lower().endswith(_POINTER_SUFFIXES):
        raise HrefRefusedError
    return path


def _url(url: str) -> str:
    # A query carries a signature or a command; "!" and "|" are archive syntax to some readers.
    if any(mark in url for mark in "?#@!|<>\"'` ") or not url.isascii():
        raise HrefRefusedError
    if _ENCODED_TRICK.search(url) or _BAD_PERCENT.search(url):
        raise HrefRefusedError
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise HrefRefusedError from None
    host = (parts.hostname or "") + (f":{port}" if port not in {None, 443} else "")
    path = parts.path
    if not url[len("https:") :].startswith("//") or not _HOST.fullmatch(host) or not path.startswith("/"):
        raise HrefRefusedError
    if not {"", ".", ".."}.isdisjoint(path[1:].split("/")) or path.lower().endswith(_POINTER_SUFFIXES):
        raise HrefRefusedError
    return f"https://{host}{path}"
