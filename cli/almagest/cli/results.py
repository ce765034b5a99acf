"""``almagest add-asset`` and ``almagest remove-asset``: results as assets of items, under names that they keep."""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 (an option is called date)
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from almagest.cli import options
from almagest.cli.output import console
from almagest.core.configuration import Configuration

if TYPE_CHECKING:
    from almagest.catalogue.registering.files import Content
    from almagest.catalogue.registering.keys import Registered
    from almagest.core.settings import Settings

EPILOG = "Example: almagest add-asset --collection-id A-vs-B --item-id one --file /data/store/comparison.nc"
REMOVE_EPILOG = "Example: almagest remove-asset --collection-id A-vs-B --item-id one --asset-key comparison:2024-05-01"

Collection = Annotated[str, typer.Option("--collection-id", metavar="ID", help="Collection of the item.")]
Item = Annotated[str, typer.Option("--item-id", metavar="ID", help="The item.")]
StaticCatalogue = Annotated[
    Path | None,
    typer.Option("--catalogue", metavar="PATH", help="Static catalogue: change the item there (and see --push)."),
]
Push = Annotated[bool, typer.Option("--push", help="With --catalogue: change the item in the database, too.")]


def add_asset(
    collection_id: Collection,
    item_id: Item,
    file: Annotated[
        str,
        typer.Option(metavar="PATH", help="The result. For a catalogue that serves it: a file of its store."),
    ],
    catalogue: StaticCatalogue = None,
    key_prefix: Annotated[str, typer.Option(metavar="PREFIX", help="What the keys begin with.")] = "comparison",
    date: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of the key; today, in UTC, if not given.")
    ] = None,
    media_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Media type; else as content and name tell it.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title; else the name of the file.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="What it is for (`data`); may be given more than once.")
    ] = None,
    software: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VERSION", help="What made it; may be given more than once."),
    ] = None,
    push: Push = False,
    expose: Annotated[bool, typer.Option("--expose", help="Let outsiders read it; needs the database.")] = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
    assets_base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the folder of --catalogue is served, for --push.")
    ] = None,
    verbose: options.Verbose = False,
) -> None:
    """Add a result to an item: as `comparison:2024-05-01`, which never changes, and as `comparison:latest`.

    The same file on the same day changes nothing; another one of that day becomes `comparison:2024-05-01.2`. The latest
    is that of the latest day. Without --catalogue it goes into the catalogue here, or that of --api-url.
    """
    from almagest.catalogue.registering import keys
    from almagest.catalogue.registering.files import asset_of
    from almagest.catalogue.registering.local import Catalogue

    day = keys.day_of(date) if date is not None else keys.today()
    keys.check_prefix(key_prefix)
    for option, text in (("--title", title), ("--item-id", item_id), ("--collection-id", collection_id)):
        options.require_text(text or "", option)
    said: dict[str, Any] = {
        "kind": media_type,
        "title": title,
        "roles": role or ["data"],
        "software": dict(map(_software, software or ())),
    }
    configuration = Configuration.load(config)
    given = {"db_host": db_host, "db_port": db_port, "db_name": db_name, "db_user": db_user}
    target = _target(configuration, catalogue, push, api_url=api_url, key=key, key_file=key_file, **given)
    if expose and not isinstance(target, options.Database):
        raise typer.BadParameter("what outsiders may read is said in the database.", param_hint="'--expose'")
    local = Catalogue(catalogue) if catalogue else None
    if assets_base_url and local is None:
        raise typer.BadParameter("it says where a --catalogue is served.", param_hint="'--assets-base-url'")

    # All that can fail for the file comes first: it is registered everywhere or nowhere.
    settings = target.settings if isinstance(target, options.Database) else configuration.settings()
    asset: dict[str, Any] = {}
    if local is not None or isinstance(target, options.Database):
        href, content = _found(file, settings, local, assets_base_url, stored=isinstance(target, options.Database))
        asset = asset_of(content, href, **said)
        if verbose:
            console.print(f"{href}: {content.size:,} bytes, {content.checksum}", markup=False, soft_wrap=True)

    def there(others: dict[str, Any]) -> str:
        """Registers it where others read it, and says under which key."""
        assert target is not None
        if isinstance(target, options.Api):
            done = _send(target, collection_id, item_id, file, key_prefix, day, others, said)
        else:
            done = _store(target, collection_id, item_id, key_prefix, asset, day, others)
        _say(_name(target), done, key_prefix)
        if expose and isinstance(target, options.Database):
            _expose(target.settings, collection_id, item_id, done, key_prefix)
        return done.key

    if local is not None:
        path = None if file.startswith("s3://") else Path(file)
        # There first: it knows every name that was ever given, and here the same one is taken.
        named = there if target else None
        done = local.register(collection_id, item_id, key_prefix, asset, day, path, named=named)
        _say(str(local.folder), done, key_prefix)
    else:
        there({})


def remove_asset(
    collection_id: Collection,
    item_id: Item,
    asset_key: Annotated[str, typer.Option(metavar="KEY", help="Key of the asset, like `comparison:2024-05-01`.")],
    catalogue: StaticCatalogue = None,
    push: Push = False,
    config: options.ConfigFile = None,
    db_host: options.DbHost = None,
    db_port: options.DbPort = None,
    db_name: options.DbName = None,
    db_user: options.DbUser = None,
    api_url: options.ApiUrl = None,
    key: options.Key = None,
    key_file: options.KeyFile = None,
) -> None:
    """Take an asset out of an item; its file stays. The latest is then that of the latest day that is left."""
    configuration = Configuration.load(config)
    given = {"db_host": db_host, "db_port": db_port, "db_name": db_name, "db_user": db_user}
    target = _target(configuration, catalogue, push, api_url=api_url, key=key, key_file=key_file, **given)
    for option, text in (("--asset-key", asset_key), ("--item-id", item_id), ("--collection-id", collection_id)):
        options.require_text(text, option)
    if catalogue is not None:
        from almagest.catalogue.registering.local import Catalogue
        from almagest.core.errors import NotFoundError

        local = Catalogue(catalogue)
        try:
            _say_removed(str(local.folder), asset_key, local.remove(collection_id, item_id, asset_key))
        except NotFoundError as missing:
            if target is None:
                raise
            _tell(f"{local.folder}: {missing}")  # it may have gone here already, and not there
    if isinstance(target, options.Api):
        from almagest.client import results
        from almagest.client.http import Http

        with Http(target.url, target.key, say=_tell) as http:
            _say_removed(target.url, asset_key, results.remove(http, collection_id, item_id, asset_key))
    elif target is not None:
        from almagest.catalogue.ingest.line import Access
        from almagest.catalogue.registering import database

        access = Access.of(target.settings, target.user, target.password)
        _say_removed("the database", asset_key, database.remove(access, collection_id, item_id, asset_key))


def _target(
    configuration: Configuration, catalogue: Path | None, push: bool, **given: Any
) -> options.Database | options.Api | None:
    """What is changed beside a catalogue of files, or instead of one."""
    if catalogue is None and push:
        raise typer.BadParameter("it goes into the database anyway, without --catalogue.", param_hint="'--push'")
    if catalogue is not None and not push and not given["api_url"]:
        named = [name for name in ("db_host", "db_port", "db_name", "db_user", "key", "key_file") if given[name]]
        if named:
            raise typer.BadParameter("say --push as well, or leave --catalogue out.", param_hint="'--db-…' / '--key'")
        return None
    if push:
        return options.database(configuration, **{name: given[name] for name in given if name.startswith("db_")})
    return options.target(configuration, **given)


def _software(text: str) -> tuple[str, str]:
    name, equals, version = text.partition("=")
    if not name or not equals or not version:
        raise typer.BadParameter(f"{text!r} is not NAME=VERSION.", param_hint="'--software'")
    return name, version


def _found(
    file: str, settings: Settings, local: Any, assets_base_url: str | None, *, stored: bool
) -> tuple[str, Content]:
    """The href of a file, and what it holds."""
    from almagest.catalogue.registering.files import plain, read_file
    from almagest.catalogue.registering.stored import Files, not_stored
    from almagest.core.addresses import segment
    from almagest.core.hrefs import HrefRefusedError

    path, is_object = Path(file), file.startswith("s3://")
    if is_object or (stored and not assets_base_url):
        try:
            if not is_object:
                path.stat()  # that it is missing is another sentence
            files = Files(settings)
            href = files.href(file if is_object else str(plain(path)))
            return href, files.read(href)
        except HrefRefusedError:
            raise not_stored(file, settings) from None
    content = read_file(path)
    if not assets_base_url:
        return str(plain(path)), content
    if not plain(path).is_relative_to(local.folder):
        raise typer.BadParameter(f"{path} does not lie below {local.folder}.", param_hint="'--assets-base-url'")
    below = plain(path).relative_to(local.folder)
    return "/".join([assets_base_url.rstrip("/"), *map(segment, below.parts)]), content


def _store(
    target: options.Database, collection: str, item: str, prefix: str, asset: dict[str, Any], day: Date,
    others: dict[str, Any],
) -> Registered:  # fmt: skip
    from almagest.catalogue.ingest.line import Access
    from almagest.catalogue.registering import database

    access = Access.of(target.settings, target.user, target.password)
    return database.register(access, collection, item, prefix, asset, day, others=others)


def _send(
    target: options.Api, collection: str, item: str, file: str, prefix: str, day: Date,
    others: dict[str, Any], said: dict[str, Any],
) -> Registered:  # fmt: skip
    from almagest.client import results
    from almagest.client.http import Http

    with Http(target.url, target.key, say=_tell) as http:
        return results.register(http, collection, item, file, prefix, day, others=others or None, **said)


def _expose(settings: Settings, collection: str, item: str, done: Registered, prefix: str) -> None:
    from almagest.catalogue import assets

    keys = (done.key, *([f"{prefix}:latest"] if done.latest == done.key else []))
    outcome = assets.expose(settings, assets.Selection(collection, (item,), keys), refused=lambda why: _tell(str(why)))
    print(f"{outcome.changed + outcome.unchanged} assets exposed")


def _name(target: options.Database | options.Api) -> str:
    return target.url if isinstance(target, options.Api) else "the database"


def _say(where: str, done: Registered, prefix: str) -> None:
    became = "is there already" if done.outcome != "created" else "added"
    if done.latest == done.key:
        print(f"{where}: {done.key} {became}; {prefix}:latest is the same")
    else:
        print(f"{where}: {done.key} {became}; {prefix}:latest is {done.latest}")


def _say_removed(where: str, key: str, latest: str | None) -> None:
    print(f"{where}: {key} removed" + (f"; {key.rpartition(':')[0]}:latest is {latest}" if latest else ""))


def _tell(sentence: str) -> None:
    console.print(sentence, markup=False, soft_wrap=True)
