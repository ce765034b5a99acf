"""A tiler whose database was away for long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from almagest.core.errors import DatabaseUnavailableError
from almagest.core.settings import Settings
from almagest.services.tiles.database import Catalogue

#: As many as health checks ask within half an hour, or clients within a second.
ASKED = 300


def test_it_answers_again_however_often_it_was_asked_meanwhile(settings: Settings, home: Path) -> None:
    socket = f".s.PGSQL.{settings.database.port}"
    away = settings.database.model_copy(update={"host": str(home)})
    catalogue = Catalogue(Settings(site=settings.site, database=away), "almagest_reader")
    catalogue.open()
    try:
        with ThreadPoolExecutor(ASKED) as clients:
            answers = [clients.submit(catalogue.check) for _ in range(ASKED)]
        assert all(isinstance(answer.exception(), DatabaseUnavailableError) for answer in answers)
        (home / socket).symlink_to(Path(settings.db_host) / socket)
        for attempt in range(3):  # one may still wait together with an attempt that began without the database
            try:
                catalogue.check()
                break
            except DatabaseUnavailableError:
                if attempt == 2:
                    pytest.fail("it never asks the database again")
    finally:
        catalogue.close()
