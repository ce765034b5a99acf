"""Finding out what a location is."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from almagest.catalogue.exchange.files import FileSource, FolderSource, InputSource, standard_input
from almagest.catalogue.exchange.records import Source, printable
from almagest.core.errors import BadRequestError, NotFoundError


def open_source(location: str | Path, *, origin: str = "", assets_base_url: str | None = None) -> Source:
    """Opens documents wherever they are.

    A location is

    - a static catalogue: a `catalog.json` or `collection.json` (path or URL), or a folder that holds one: read by its
      links, so a file that no link leads to is no part of it, as for every other reader of catalogues;
    - any other folder: all `.json`, `.geojson`, `.ndjson` and `.jsonl` files in it and below, gzipped or not, and all
      `.parquet` files, by name; hidden ones are left out;
    - a file: items and collections in any mix, one a line, or as feature collections, arrays, or one alone; gzipped or
      not; or stac-geoparquet; or a pipe that gives one;
    - a STAC API: its root, a collection, its items, or a search, as a URL;
    - `-`: standard input, for text as in a file.

    Args:
        location: path or URL.
        origin: public address of the catalogue that takes the items, for links between them.
        assets_base_url: where the folder of a static catalogue is served: hrefs of assets below it begin with this
            instead. Without it they become absolute `file://` addresses.

    Raises:
        NotFoundError: nothing is there.
        BadRequestError: what is there is nothing that could be read.
    """
    text = str(location)
    try:
        return _opened(text, origin, assets_base_url)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file or folder {printable(text)}.") from None
    except (OSError, RuntimeError, ValueError) as error:  # a NUL in a name, a home that nobody has
        raise BadRequestError(
            f"{printable(text)} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None


def _opened(text: str, origin: str, assets_base_url: str | None) -> Source:
    if text == "-":
        return standard_input()
    if text.startswith(("http://", "https://")):
        from almagest.catalogue.exchange.remote import open_url

        return open_url(text, origin=origin, assets_base_url=assets_base_url)
    path = Path(url2pathname(urlsplit(text).path) if text.startswith("file://") else text).expanduser().absolute()
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        # Not resolved: what `/dev/fd/7` leads to has no path.
        with path.open("rb") as pipe:
            return InputSource(pipe, str(path))
    path = path.resolve()
    from almagest.catalogue.exchange.static import StaticSource, static_root

    root = static_root(path)
    if root:
        return StaticSource(str(root), origin=origin, assets_base_url=assets_base_url)
    return FolderSource(path) if path.is_dir() else FileSource(path)
