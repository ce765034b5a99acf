from __future__ import annotations

import pytest

from almagest.core.errors import ConfigurationError
from almagest.core.places import Place, place
from almagest.core.settings import Settings


@pytest.mark.parametrize(
    ("dsn", "meant"),
    [
        ("postgresql://replica", Place("replica", 5432, "almagest")),
        ("postgres://replica.example.org:6543/other", Place("replica.example.org", 6543, "other")),
        ("postgresql://[::1]:6543/other", Place("::1", 6543, "other")),
        ("postgresql://[::1]", Place("::1", 5432, "almagest")),
        ("postgresql://%2Frun%2FPG:6543", Place("/run/PG", 6543, "almagest")),
        ("postgresql:///other?host=/run/pg&port=6543", Place("/run/pg", 6543, "other")),
        ("host=replica", Place("replica", 5432, "almagest")),
        ("host='/run/my pg'  port=6543 dbname=other", Place("/run/my pg", 6543, "other")),
    ],
)
def test_a_connection_string_names_a_place(dsn: str, meant: Place) -> None:
    assert place(dsn, "almagest") == meant


@pytest.mark.parametrize(
    ("dsn", "fault"),
    [
        ("replica", "is neither"),
        ("host=replica oops", "is neither"),
        ("postgresql://", "no single host"),
        ("port=5432", "no single host"),
        ("host=one,two", "no single host"),
        ("postgresql://one,two/other", "no single host"),
        ("host=replica port=none", "no port"),
        ("postgresql://replica:0", "no port"),
        ("postgresql://replica:65536", "no port"),
        ("postgresql://ann@replica", "such as user"),
        ("host=replica sslmode=require", "such as sslmode"),
        ("host=replica 'oops", "No closing quotation"),
    ],
)
def test_what_names_no_place_or_more_is_refused(dsn: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        place(dsn, "almagest")


def test_the_setting_is_checked_and_tells_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for dsn in ("postgresql://ann:hush@replica/almagest", "host=replica user=ann password=hush"):
        monkeypatch.setenv("ALMAGEST_READ_DSN", dsn)
        with pytest.raises(ConfigurationError, match=r"ALMAGEST_READ_DSN.*users and passwords are ours") as caught:
            Settings.load()
        assert "hush" not in str(caught.value)


def test_without_one_reads_go_where_writes_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().read_replica is None
    monkeypatch.setenv("ALMAGEST_DB_NAME", "mine")
    monkeypatch.setenv("ALMAGEST_READ_DSN", "host=replica")
    settings = Settings.load()
    assert settings.read_replica == Place("replica", 5432, "mine")
    assert settings.primary == Place(settings.db_host, 5439, "mine")
