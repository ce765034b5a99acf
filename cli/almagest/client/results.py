"""Results of an analysis as assets of items, from a notebook: over HTTP, or in a catalogue on this machine."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from almagest.client.place import api_and_key

if TYPE_CHECKING:
    from almagest.catalogue.registering.keys import Registered
    from almagest.client.http import Http


class Dataset(Protocol):
    """What xarray's datasets and trees can do."""

    def to_netcdf(self, path: Any) -> Any:
        """Writes itself to a file."""
        ...


def register_analysis(
    data: str | os.PathLike[str] | Dataset,
    collection_id: str,
    item_id: str,
    *,
    path: str | os.PathLike[str] | None = None,
    key_prefix: str = "comparison",
    date: dt.date | str | None = None,
    media_type: str | None = None,
    title: str | None = None,
    roles: Sequence[str] = ("data",),
    software: Mapping[str, str] | None = None,
    lineage: str | None = None,
    catalogue: str | os.PathLike[str] | None = None,
    api_url: str | None = None,
    key: str | None = None,
) -> Registered:
    """Adds a result to an item, under a dated key that nothing changes afterwards, and as the latest.

    The same bytes on the same day change nothing; other bytes of that day get a key of their own,
    `comparison:2024-05-01.2`. `comparison:latest` is always the same as the greatest of them.

    Over HTTP the file has to lie in the store of the catalogue already: write it there, or give its path below it::

        from almagest.client import register_analysis

        done = register_analysis(
            dataset, "A-vs-B", "A-vs-B_20240501T101500", path="/data/store/results/a-vs-b-20240501.nc",
            software={"my-comparison": "1.4"}, api_url="https://host/api",
        )
        print(done.key)                             # comparison:2024-05-01

    Args:
        data: a file; or a dataset of xarray, which is written to `path` as NetCDF.
        collection_id: where the item is.
        item_id: the item.
        path: where a dataset goes. No file may be there: what was registered is never written over.
        key_prefix: what the keys begin with.
        date: day of the key; today, in UTC, if nobody says.
        media_type: of the file; else as its content and name tell it.
        title: for people; else the name of the file.
        roles: what it is for.
        software: what made it, by name, and in which version.
        lineage: how it was made, in words.
        catalogue: a static catalogue on this machine (its folder): the item is changed there, and nowhere else.
        api_url: of the catalogue's API, like `https://host/api`; else as ALMAGEST_API_URL or the configuration says.
        key: that may write; else as ALMAGEST_KEY or the configuration says.

    Returns:
        The key, and whether it is new.

    Raises:
        NotFoundError: there is no such item.
        BadRequestError: the file does not lie in the store.
        ConflictError: there is a file at `path` already.
        UnauthorizedError: the key may not do that.
    """
    from almagest.catalogue.registering import files, keys

    day = keys.today() if date is None else keys.day_of(str(date))  # a moment is none
    keys.check_prefix(key_prefix)
    place = _written(data, path)
    said: dict[str, Any] = {"title": title, "roles": list(roles), "software": software, "lineage": lineage}
    if catalogue is not None:
        from almagest.catalogue.registering.local import Catalogue

        local = Catalogue(Path(catalogue))
        asset = files.asset_of(files.read_file(place), place, kind=media_type, **said)
        return local.register(collection_id, item_id, key_prefix, asset, day, Path(place))
    from almagest.client.http import Http

    with Http(*api_and_key(api_url, key)) as http:
        return register(http, collection_id, item_id, place, key_prefix, day, kind=media_type, **said)


def register(
    http: Http,
    collection: str,
    item: str,
    place: str,
    prefix: str,
    day: dt.date,
    *,
    kind: str | None,
    others: Mapping[str, Any] | None = None,
    **said: Any,
) -> Registered:
    """Adds a file that lies in the store of a catalogue to an item.

    Args:
        http: its API.
        collection: id.
        item: id.
        place: a path that the catalogue knows by the same name, or one below its store; or an href.
        prefix: of the keys.
        day: of the key.
        kind: media type.
        others: assets of the item in another catalogue, which the key has to fit.
        said: what else the request says.
    """
    from almagest.catalogue.registering.files import plain
    from almagest.catalogue.registering.keys import Registered

    where = str(plain(place)) if Path(place).exists() else place
    given = {"href": where, "prefix": prefix, "date": day.isoformat(), "media_type": kind, "others": others, **said}
    told = http("POST", f"{_address(collection, item)}", json={n: v for n, v in given.items() if v is not None})
    return Registered(told["key"], told["outcome"], told["latest"], told["asset"])


def remove(http: Http, collection: str, item: str, key: str) -> str | None:
    """Takes an asset out of an item, and says which dated key `latest` is now, if it had to do with it."""
    from almagest.core.addresses import segment

    latest: str | None = http("DELETE", f"{_address(collection, item)}/{segment(key)}").get("latest")
    return latest


def _address(collection: str, item: str) -> str:
    from almagest.core.addresses import segment

    return f"collections/{segment(collection)}/items/{segment(item)}/assets"


def _written(data: str | os.PathLike[str] | Dataset, path: str | os.PathLike[str] | None) -> str:
    """Where the file lies, once it does."""
    from almagest.catalogue.exchange.writing import beside
    from almagest.core.errors import BadRequestError, ConflictError

    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    if path is None:
        raise BadRequestError("A dataset has to be written first: say where with path=….")
    target = Path(path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = beside(target)
    try:
        data.to_netcdf(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.link(draft, target)
    except FileExistsError:
        raise ConflictError(f"{target} is there already: what was registered is never written over.") from None
    finally:
        draft.unlink(missing_ok=True)
    return str(target)
