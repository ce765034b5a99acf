"""Making the sample: what is missing is rendered, what is there is taken as it is."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from almagest.catalogue.sample import _catalog as catalog
from almagest.core.disk import FULL
from almagest.core.errors import StorageFullError

Progress = Callable[[str, int, int], None]
Document = dict[str, Any]

_LABEL = "rendering the sample"
#: The scene whose picture stands for a collection: the first one of this place with few clouds.
_SHOWN = ("delta", "coast", "desert", "arctic")


@dataclass(frozen=True)
class Selection:
    """Which part of the sample to make; all of it by default."""

    places: tuple[catalog.Place, ...] = catalog.PLACES
    first: datetime = catalog.FIRST
    last: datetime = catalog.LAST

    @property
    def key(self) -> str:
        """Of the manifest that this selection and the recipe lead to."""
        return f"{catalog.RECIPE} {','.join(place.name for place in self.places)} {self.first:%F} {self.last:%F}"


def generate(directory: Path, selection: Selection, progress: Progress | None) -> tuple[list[Document], list[Document]]:
    """Collections and items of a selection, with the hrefs of their files under a directory.

    Raises:
        StorageFullError: the disk is full; what is complete stays.
        OSError: a file cannot be written; those that are complete stay.
    """
    manifest = _read_manifest(directory, selection)
    if manifest is None or not _is_complete(directory, manifest):
        try:
            manifest = _make(directory, selection, progress or (lambda *_: None))
        except OSError as error:
            if error.errno not in FULL:
                raise
            message = f"No space is left in {directory}: the sample needs about 45 MB. What is there is complete."
            raise StorageFullError(message) from error
    return (
        [_located(document, directory / document["id"]) for document in manifest["collections"]],
        [_located(document, directory / document["collection"] / document["id"]) for document in manifest["items"]],
    )


def _manifest_path(directory: Path) -> Path:
    return directory / "sample.json"


def _read_manifest(directory: Path, selection: Selection) -> Document | None:
    try:
        manifest = json.loads(_manifest_path(directory).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("key") == selection.key else None


def _is_complete(directory: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether each file that the documents name is there, as long as they say."""
    try:
        for document in manifest["collections"]:
            _check_sizes(document, directory / document["id"])
        for document in manifest["items"]:
            _check_sizes(document, directory / document["collection"] / document["id"])
    except FileNotFoundError:
        return False
    return True


def _check_sizes(document: Mapping[str, Any], folder: Path) -> None:
    for asset in document["assets"].values():
        path = folder / asset["href"]
        if path.stat().st_size != asset["file:size"]:
            raise FileNotFoundError(path)


def _located(document: Mapping[str, Any], folder: Path) -> Document:
    """The document with the URLs of its files."""
    assets = {key: {**asset, "href": (folder / asset["href"]).as_uri()} for key, asset in document["assets"].items()}
    return {**document, "assets": assets}


def _make(directory: Path, selection: Selection, progress: Progress) -> Document:
    from almagest.catalogue.sample import _documents, _files, _plan

    scenes = _plan.scenes(selection.places, selection.first, selection.last)
    records: dict[str, Document] = {}
    missing: dict[str, list[_plan.Scene]] = {}
    for scene in scenes:
        record = _read_record(directory / scene.sensor.collection / scene.id)
        if record is None:
            missing.setdefault(scene.place.name, []).append(scene)
        else:
            records[scene.id] = record
    progress(_LABEL, len(records), len(scenes))
    for name, record in _rendered(directory, list(missing.values())):
        records[name] = record
        progress(_LABEL, len(records), len(scenes))
    items = [_documents.relative_item(scene, records[scene.id]) for scene in scenes]
    collections = []
    for sensor in catalog.SENSORS:
        own = [item for item in items if item["collection"] == sensor.collection]
        if own:
            collections.append(_documents.collection(sensor, own, _picture(directory, own)))
            document = _located(collections[-1], directory / sensor.collection)
            _files.store_file(directory / sensor.collection / "collection.json", _json(document))
    manifest = {"key": selection.key, "collections": collections, "items": items}
    _files.store_file(_manifest_path(directory), _json(manifest))
    return manifest


def _picture(directory: Path, items: Sequence[Mapping[str, Any]]) -> Document:
    """The thumbnail of a collection: a copy of that of its best scene."""
    from almagest.catalogue.sample import _files

    def rank(item: Mapping[str, Any]) -> tuple[bool, int, float, str]:
        place = next((i for i, name in enumerate(_SHOWN) if f"_{name}" in item["id"]), len(_SHOWN))
        cloudy = item["properties"]["eo:cloud_cover"] > 6
        return cloudy, place, -float(item["assets"]["thumbnail"]["file:size"]), item["id"]

    best = min(items, key=rank)
    folder = directory / best["collection"]
    data = (folder / best["id"] / best["assets"]["thumbnail"]["href"]).read_bytes()
    _files.store_file(folder / "thumbnail.webp", data)
    return {"href": "thumbnail.webp", "file:size": len(data), "file:checksum": _files.checksum(data)}


def _read_record(folder: Path) -> Document | None:
    """What was measured of a scene when its folder was written; None if it must be rendered."""
    try:
        data = (folder / "scene.json").read_bytes()
        record = json.loads(data)
        if record["recipe"] != catalog.RECIPE:
            return None
        for name, known in record["files"].items():
            if (folder / name).stat().st_size != known["size"]:
                return None
    except (FileNotFoundError, KeyError, ValueError):
        return None
    return _with_itself(record, data)


def _with_itself(record: Mapping[str, Any], data: bytes) -> Document:
    """The record, with its own file among the others."""
    from almagest.catalogue.sample import _files

    itself = {"size": len(data), "checksum": _files.checksum(data)}
    return {**record, "files": {**record["files"], "scene.json": itself}}


def _rendered(directory: Path, groups: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Document]]:
    """Renders groups of scenes, each of one place; yields ids and records as they are done.

    Threads are enough: numpy and GDAL let others run while they compute.
    """
    if not groups:
        return
    done: deque[tuple[str, Document]] = deque()
    stop = threading.Event()
    with ThreadPoolExecutor(max(1, min(len(groups), os.cpu_count() or 1)), thread_name_prefix="sample") as pool:
        # The largest share first: it would be waited for at the end.
        ordered = sorted(groups, key=len, reverse=True)
        pending = {pool.submit(_render_place, directory, group, done, stop) for group in ordered}
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                while done:
                    yield done.popleft()
                for future in finished:
                    future.result()
        finally:
            # If anything failed, or nobody listens any more, the other places end with the scene they are at.
            stop.set()


def _render_place(
    directory: Path, scenes: Sequence[Any], done: deque[tuple[str, Document]], stop: threading.Event
) -> None:
    if stop.is_set():
        return
    from almagest.catalogue.sample import _render, _sky, worlds

    place = scenes[0].place
    world = worlds.build(place.name, place.seed)
    weather = _sky.Weather(place.seed, place.clear)
    for scene in scenes:
        if stop.is_set():
            return
        done.append((scene.id, _store_scene(directory, scene, _render.render(scene, world, weather))))


def _store_scene(directory: Path, scene: Any, picture: Any) -> Document:
    """Encodes and stores the files of a scene; returns its record."""
    from almagest.catalogue.sample import _encode, _files

    files, facts = _encode.files(scene, picture)
    known = {
        name: {"size": len(data), "checksum": _files.checksum(data), **facts.get(name, {})}
        for name, data in files.items()
    }
    record = {
        "recipe": catalog.RECIPE,
        "percent": _encode.percent(picture),
        "files": known,
        **_encode.acquisition(scene),
    }
    text = _json(record)
    _files.store_folder(directory / scene.sensor.collection / scene.id, {**files, "scene.json": text})
    return _with_itself(record, text)


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
