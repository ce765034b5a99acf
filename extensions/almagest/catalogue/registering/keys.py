"""Which key an asset gets, and where `latest` leads: as `almagest.register_asset` has it, for a document at hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from almagest.core.errors import BadRequestError, ConflictError, NotFoundError

Document = dict[str, Any]
#: ``unchanged``: these bytes are there already under that day; ``updated``: only `latest` was not what it should be.
Outcome = Literal["created", "updated", "unchanged"]

PREFIX = "comparison"
#: Names that a day has.
MOST = 9999
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATED = re.compile(r"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))(?:\.([2-9]|[1-9][0-9]{1,3}))?", re.ASCII)
_MULTIHASH = re.compile(r"(?:[0-9a-f]{2}){3,99}")
#: One of these the processing extension wants of the item as well.
_PROCESSED = frozenset(f"processing:{name}" for name in ("expression", "lineage", "level", "facility", "software"))


@dataclass(frozen=True)
class Registered:
    """What became of an asset.

    Attributes:
        key: the dated key that it has.
        outcome: whether it is new.
        latest: the dated key of what `latest` is now; None where nobody asked.
        asset: as it stands in the item.
    """

    key: str
    outcome: Outcome
    latest: str | None = None
    asset: Document = field(default_factory=dict)


def day_of(text: str) -> date:
    """The day that is written so.

    Raises:
        BadRequestError: it is none.
    """
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequestError(f"{text!r} is no day: write it like 2024-05-01.") from None


def today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


def check_prefix(prefix: str) -> str:
    """The prefix, if keys can be made of it.

    Raises:
        BadRequestError: they cannot.
    """
    if not _PREFIX.fullmatch(prefix):
        raise BadRequestError(f"The prefix {prefix!r} is not made of letters, digits and . _ : - alone.")
    return prefix


def dated(assets: Mapping[str, Any], prefix: str) -> dict[str, tuple[str, int]]:
    """Dated keys of a prefix: their day and sequence."""
    return {
        key: (found[1], int(found[2] or 1))
        for key, asset in assets.items()
        if key.startswith(f"{prefix}:")
        and isinstance(asset, dict)
        and (found := _DATED.fullmatch(key, len(prefix) + 1))
    }


def names(assets: Mapping[str, Any], prefix: str, day: date) -> Document:
    """The keys of a day and what is said of their bytes, for another catalogue of the item to fit."""
    told = {
        key: assets[key].get("file:checksum")
        for key, (when, _) in dated(assets, prefix).items()
        if when == day.isoformat()
    }
    return {
        key: {"file:checksum": checksum if isinstance(checksum, str) and _MULTIHASH.fullmatch(checksum) else None}
        for key, checksum in told.items()
    }


def check_names(others: Mapping[str, Document], prefix: str) -> None:
    """Whether these are names as :func:`names` tells them.

    Raises:
        BadRequestError: they are not.
    """
    for key in others.keys() - dated(others, prefix).keys():
        raise BadRequestError(f"/others: {key!r} is not like {prefix}:2024-05-01 or {prefix}:2024-05-01.{MOST}.")
    for key, other in others.items():
        checksum = other.get("file:checksum")
        if checksum is not None and not (isinstance(checksum, str) and _MULTIHASH.fullmatch(checksum)):
            raise BadRequestError(f"/others/{key}: file:checksum is a multihash in hex digits, lower case, or missing.")


def latest(assets: Mapping[str, Any], prefix: str) -> str | None:
    """The dated key of the greatest day and sequence."""
    known = dated(assets, prefix)
    return max(known, key=known.__getitem__, default=None)


def name(assets: Mapping[str, Any], prefix: str, checksum: str, day: date) -> str:
    """The dated key of these bytes: the one under which they are there, or a new one.

    Raises:
        BadRequestError: the day has no name left.
    """
    of_day = {key: sequence for key, (when, sequence) in dated(assets, prefix).items() if when == day.isoformat()}
    same = [key for key in of_day if assets[key].get("file:checksum") == checksum]
    if same:
        return min(same, key=of_day.__getitem__)
    number = max(of_day.values(), default=0) + 1
    if number > MOST:
        raise BadRequestError(
            f"{prefix}:{day.isoformat()}.{MOST} is taken, and no day has more names: take another prefix."
        )
    return f"{prefix}:{day.isoformat()}" + (f".{number}" if number > 1 else "")


def register(
    item: Document, prefix: str, asset: Document, day: date, key: str | None = None
) -> tuple[Document, Registered]:
    """An item with one more asset.

    Args:
        item: is not changed.
        prefix: of its keys.
        asset: with its `file:checksum`.
        day: of its key.
        key: that these bytes have in another catalogue; where nobody says, one is chosen.

    Raises:
        BadRequestError: no keys can be made of the prefix, or none is left for that day.
        ConflictError: the key stands for other bytes.
    """
    check_prefix(prefix)
    assets = dict(item.get("assets") or {})
    key = key or name(assets, prefix, asset["file:checksum"], day)
    is_there = key in assets
    if is_there and assets[key].get("file:checksum") != asset["file:checksum"]:
        raise ConflictError(f"Item {item.get('id')} has other bytes under {key}.")
    if not is_there:
        assets[key] = asset
        item = {**item, "stac_extensions": [*(item.get("stac_extensions") or ()), *_missing_extensions(item, asset)]}
    greatest = latest(assets, prefix)
    assert greatest is not None
    moved = assets.get(f"{prefix}:latest") != assets[greatest]
    assets[f"{prefix}:latest"] = assets[greatest]
    outcome: Outcome = "updated" if moved else "unchanged"
    return {**item, "assets": assets}, Registered(key, outcome if is_there else "created", greatest, assets[key])


def remove(item: Document, key: str) -> tuple[Document, str | None]:
    """An item without an asset, and the dated key of what `latest` is now, if it had to do with it.

    Raises:
        NotFoundError: it has no such asset.
        BadRequestError: it is `latest`, which only follows the others.
    """
    assets = dict(item.get("assets") or {})
    if key not in assets:
        raise NotFoundError(f"Item {item.get('id')} has no asset {key}.")
    prefix = key.rpartition(":")[0]
    is_dated = prefix != "" and key in dated(assets, prefix)
    del assets[key]
    greatest = latest(assets, prefix) if prefix else None
    follower = f"{prefix}:latest"
    if prefix and key == follower and greatest:
        raise BadRequestError(f"{key} is the same as {greatest}: remove that.")
    if not is_dated or follower not in assets:
        return {**item, "assets": assets}, None
    if greatest:
        assets[follower] = assets[greatest]
    else:
        del assets[follower]
    return {**item, "assets": assets}, greatest


def _missing_extensions(item: Document, asset: Document) -> Iterator[str]:
    known = [url for url in item.get("stac_extensions") or () if isinstance(url, str)]
    has_processing = any(name.startswith("processing:") for name in asset) and _PROCESSED & set(item["properties"])
    for url, is_used in ((FILE, {"file:checksum", "file:size"} & set(asset)), (PROCESSING, has_processing)):
        if is_used and not any(each.startswith(url[: url.index("/v") + 1]) for each in known):
            yield url
