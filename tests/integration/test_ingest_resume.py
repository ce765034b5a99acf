"""An ingest that is broken off: nothing half done stays, and the same command sends only what is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from almagest.catalogue import database
from almagest.core.settings import Settings
from support.ingests import (
    a_seed,
    collection,
    command,
    environment,
    item,
    kill,
    noted,
    put,
    run,
    settled,
    stored,
    versions,
    wait_for,
    workers_of,
    write,
)

COUNT, BATCH = 1500, 100
ITEMS = {("scenes", each["id"]): each for each in map(item, range(COUNT))}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "all.ndjson", [collection(), *ITEMS.values()])


def begin(settings: Settings, source: Path, *more: str) -> subprocess.Popen[str]:
    arguments = command(source, "--batch-size", str(BATCH), "--workers", "2", "--json", *more)
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, env=environment(settings), stdout=pipe, stderr=pipe, text=True)


def test_killed_at_random_moments_it_ends_as_an_undisturbed_one(settings: Settings, source: Path) -> None:
    chance = random.Random(a_seed())
    for _ in range(3):
        if (done := noted(settings)) > COUNT // BATCH // 2:
            break  # the rest might be done before it is killed
        running = begin(settings, source)
        wait_for(settings, done + chance.randint(1, 4), running)
        kill(running)
        inside = stored(settings)
        assert len(inside) == BATCH * noted(settings), "a batch and its note are one"
        assert inside.items() <= ITEMS.items()
    missing = COUNT // BATCH - noted(settings)
    before = versions(settings)
    last = begin(settings, source)
    out, err = last.communicate()
    assert last.returncode == 0, err
    told = json.loads(out)
    assert (told["batches_sent"], told["batches_resumed"]) == (missing, COUNT // BATCH - missing)
    assert (told["created"], told["resumed"]) == (missing * BATCH, COUNT - missing * BATCH)
    assert stored(settings) == ITEMS
    assert versions(settings).items() >= before.items(), "what was in was not sent again"
    assert noted(settings) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_stops_at_once_and_says_how_to_go_on(
    settings: Settings, source: Path, number: signal.Signals
) -> None:
    running = begin(settings, source)
    wait_for(settings, 2, running)
    workers = list(workers_of(running.pid))
    told = time.monotonic()
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 128 + number
    assert time.monotonic() - told < 10
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert workers
    settled(running.pid, workers)
    assert len(stored(settings)) == BATCH * noted(settings) > 0
    again = put(settings, source, batch_size=BATCH, workers=2)
    assert again.totals.resumed > 0
    assert stored(settings) == ITEMS


def test_a_worker_that_dies_is_an_error_and_nothing_is_lost(settings: Settings, source: Path) -> None:
    running = begin(settings, source)
    wait_for(settings, 1, running)
    os.kill(next(workers_of(running.pid)), signal.SIGKILL)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "A worker process was ended by SIGKILL" in err
    assert "the same command goes on from there" in err
    inside = noted(settings)
    again = put(settings, source, batch_size=BATCH, workers=2)
    assert (again.totals.batches_resumed, again.totals.batches_sent) == (inside, COUNT // BATCH - inside)
    assert stored(settings) == ITEMS


def broken_off(settings: Settings, source: Path) -> int:
    """Leaves a run that is not finished; returns how many batches it has stored."""
    running = begin(settings, source)
    wait_for(settings, 3, running)
    kill(running)
    found = noted(settings)
    assert 0 < found < COUNT // BATCH
    return found


def test_what_somebody_deleted_meanwhile_is_sent_again(settings: Settings, source: Path) -> None:
    inside = broken_off(settings, source)
    with database.connect(settings, "almagest_writer") as connection:
        connection.execute("SELECT delete_item('scenes', 'i000005')")
    again = put(settings, source, batch_size=BATCH)
    assert again.totals.batches_resumed == inside - 1
    assert again.totals.unchanged == BATCH - 1
    assert stored(settings) == ITEMS


def test_what_changed_in_the_file_is_sent(settings: Settings, source: Path) -> None:
    inside = broken_off(settings, source)
    changed = {**ITEMS["scenes", "i000005"], "properties": {"datetime": "2025-01-01T00:00:00Z"}}
    write(source, [collection(), *{**ITEMS, ("scenes", "i000005"): changed}.values()])
    again = put(settings, source, batch_size=BATCH)
    assert again.totals.batches_resumed == inside - 1
    assert again.totals.updated == 1
    assert stored(settings)["scenes", "i000005"] == changed


def test_under_other_terms_or_afresh_everything_is_compared(settings: Settings, source: Path) -> None:
    inside = broken_off(settings, source)
    other = put(settings, source, batch_size=BATCH, collection="scenes")
    assert (other.totals.batches_resumed, other.totals.unchanged) == (0, inside * BATCH)
    fresh = put(settings, source, batch_size=BATCH, fresh=True)
    assert (fresh.totals.batches_resumed, fresh.totals.unchanged) == (0, COUNT)
    assert noted(settings) == 0


def test_the_report_and_the_exit_code_are_those_of_a_whole_run(settings: Settings, tmp_path: Path) -> None:
    """Also of what went in, or stayed out, before it was broken off."""
    lines = [
        {**each, "geometry": None} if n % 100 == 7 else {**each, "links": [], "bbox": None} if n % 100 == 8 else each
        for n, each in enumerate(ITEMS.values())
    ]
    source = write(tmp_path / "all.ndjson", [collection(), *lines, item(4), item(5, assets={})])
    dry = put(settings, source, dry_run=True, batch_size=BATCH)
    assert (dry.totals.refused, dry.totals.mended) == (16, 15)
    broken_off(settings, source)
    report = tmp_path / "report.ndjson"
    done = run(settings, source, "--batch-size", str(BATCH), "--report", report)
    assert done.returncode == 1
    assert [json.loads(line) for line in report.read_text().splitlines()] == dry.entries


def test_extents_are_whole_after_a_run_that_was_broken_off(settings: Settings, tmp_path: Path) -> None:
    source = write(tmp_path / "all.ndjson", ITEMS.values())
    running = begin(settings, source, "--create-collections")
    wait_for(settings, 2, running)
    kill(running)
    put(settings, source, batch_size=BATCH, create_collections=True)
    with database.connect(settings, "almagest_reader") as connection:
        row = connection.execute("SELECT collection_document('scenes')").fetchone()
    assert row is not None
    assert row[0]["extent"] == {
        "spatial": {"bbox": [[0, 0, 170, 80]]},
        "temporal": {"interval": [["2024-01-01T12:00:00Z", "2024-12-01T12:00:00Z"]]},
    }
    assert len(stored(settings)) == COUNT


def test_two_at_once_lose_nothing(settings: Settings, source: Path) -> None:
    both = [begin(settings, source), begin(settings, source)]
    for running in both:
        _, err = running.communicate(timeout=100)
        assert running.returncode == 0, err
    assert stored(settings) == ITEMS
