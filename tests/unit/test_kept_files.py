"""Files that jobs make, in the store: whatever they are called, their hrefs lead back to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import MemoryStore

from almagest.catalogue import files
from almagest.core.groups import S3, Site, Store
from almagest.core.settings import Settings


@pytest.mark.parametrize("bucket", ["", "b"])
@pytest.mark.parametrize("name", ["plain.nc", "a b+c.nc", "100%.nc", "a%20b.nc", "ü 日本.nc", "a?b#c.nc"])
def test_a_file_is_found_by_the_href_that_it_got(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bucket: str
) -> None:
    settings = Settings(site=Site(home=tmp_path / "home"), store=Store(store=tmp_path / "store"), s3=S3(bucket=bucket))
    opened = MemoryStore()
    monkeypatch.setattr(files, "open_bucket", lambda _: opened)
    (tmp_path / name).write_bytes(b"CDF\x01")
    href, _ = files.keep(settings, tmp_path / name)
    copies = tmp_path / "copies"
    copies.mkdir()
    found = files.fetch(settings, href, copies)
    assert (found.name, found.read_bytes()) == (name, b"CDF\x01")
    assert files.look(settings, href).size == 4
