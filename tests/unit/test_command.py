"""The `almagest` command as a process among others: files, pipes and signals."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from almagest.catalogue import database, exchange
from almagest.catalogue.exchange import parquet
from almagest.catalogue.exchange.writing import form_of
from almagest.cli.commands import app
from almagest.cli.main import main
from almagest.cli.stopping import stoppable
from almagest.core.errors import BadRequestError, ConfigurationError, DatabaseUnavailableError
from almagest.core.settings import Settings

ITEM = {"type": "Feature", "id": "i", "collection": "c", "geometry": None, "properties": {}, "links": [], "assets": {}}


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    monkeypatch.setattr(sys, "argv", ["almagest", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == code, told
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("init", "file/x"), 1, "file: File exists"),
        (("init", "x" * 300), 1, "File name too long"),
        (("init", "loop"), 1, "loop is there already"),
        (("init", "/proc/nowhere/x"), 1, "/proc/nowhere: No such file"),
        (("ingest", "file", "--report", "none/r.json"), 1, "none/r.json: No such file"),
        (("ingest", "file", "--report", "."), 1, ".: Is a directory"),
        (("ingest", ""), 1, "leads nowhere"),
        (("ingest", "http://u:sekret@host"), 1, "ALMAGEST_KEY"),
        (("ingest", "file", "--collection", "\udcff"), 2, "UTF-8"),
        (("query", "-o", ""), 1, "leads nowhere"),
        (("export", "-o", ""), 1, "leads nowhere"),
        (("export", "\udcff", "-o", "x.ndjson"), 2, "UTF-8"),
        (("export", "-o", "x" * 300), 1, "File name too long"),
        (("export", "-o", "loop"), 1, "Too many levels"),
        (("export", "-o", "x.ndjson", "--filter", "\udcff"), 2, "UTF-8"),
        (("export", "-o", "x.ndjson", "--intersects", "deep"), 2, "nested too deeply"),
        (("export", "-o", "x.ndjson", "--intersects", "deeper"), 2, "nested too deeply"),
        (("export", "-o", "x.ndjson", "--intersects", "five"), 2, "no geometry"),
        (("export", "-o", "x.ndjson", "--intersects", "nan"), 2, "not finite"),
        (("export", "-o", "x.ndjson", "--start-time", "0001-01-01T00:00:00+14:00"), 2, "is no time like"),
        (("--config", "x"), 2, "--config"),
        (("ingest", "--config", "list"), 1, "matchup_catalogue.path: must be text"),
    ],
)
def test_a_mistake_is_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    Path("file").write_text("{}")
    Path("loop").symlink_to("loop")
    Path("deep").write_text('{"type": "Point", "coordinates": ' + "[" * 300 + "]" * 300 + "}")
    Path("deeper").write_text("[" * 100_000)
    Path("five").write_text('{"type": "FeatureCollection", "features": [5]}')
    Path("nan").write_text('{"type": "Point", "coordinates": [NaN, 1e999]}')
    Path("list").write_text("matchup_catalogue: {path: [1, 2]}")
    told = said(monkeypatch, capsys, *arguments, code=code)
    assert sentence in told
    assert "sekret" not in told
    assert Path("loop").is_symlink()


def lines(target: Path, form: exchange.Format = "ndjson") -> None:
    with exchange.writer(form, target) as writer:
        writer.write(ITEM)


@pytest.mark.parametrize("name", ["pipe", "pipe.ndjson.gz"])
def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path, name: str) -> None:
    pipe, read = tmp_path / name, list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert form_of(str(pipe)) == "ndjson"
    lines(pipe)
    reader.join(10)
    assert json.loads(gzip.decompress(read[0]) if name.endswith(".gz") else read[0]) == ITEM
    assert pipe.is_fifo()
    for form in ("geoparquet", "stac"):
        with pytest.raises(BadRequestError, match="takes `ndjson` alone"):
            lines(pipe, form)
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("form", ["ndjson", "geoparquet", "stac"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_followed(tmp_path: Path, form: exchange.Format, is_there: bool) -> None:
    link, target = tmp_path / "link", tmp_path / "below" / "target"
    target.parent.mkdir()
    link.symlink_to(target)
    if is_there:
        lines(target, form)
    lines(link, form)
    assert link.is_symlink()
    assert target.exists()
    assert [each.name for each in target.parent.iterdir()] == ["target"]


def almagest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "almagest.cli.main", *arguments]


@pytest.mark.parametrize("library", ["typer._click", "almagest.cli.assets"])
def test_an_interrupted_start_is_quiet(library: str) -> None:
    """Before this, libraries are being loaded, which cannot be interrupted properly."""
    # Python tells what it has loaded: time would not, and what it loads before our own first line is not ours to mend.
    telling = [sys.executable, "-X", "importtime", *almagest("settings")[1:]]
    # A child of a shell's background would ignore the signal.
    started = subprocess.Popen(telling, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    assert any(line.endswith(f" {library}\n") for line in started.stderr)
    started.send_signal(signal.SIGINT)
    told = started.communicate(timeout=60)[1]
    assert started.returncode == 130
    assert "Traceback" not in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals) -> None:
    def write() -> None:
        with stoppable("So."), exchange.writer("ndjson", tmp_path / "x.ndjson") as out:
            out.write(ITEM)
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(typer.Exit) as ended:
        write()
    assert ended.value.exit_code == 128 + number
    assert [*tmp_path.iterdir()] == []


def test_a_closed_output_is_a_sentence() -> None:
    code = (
        "import sys, almagest.cli.commands as c\n"
        "from almagest.catalogue import exchange\n"
        "from almagest.cli import main\n"
        f"def write(**_):\n    with exchange.writer('ndjson', '-') as out: out.write({ITEM!r})\n"
        "c.app = write\n"
        "main.main()\n"
    )
    for closing, sentence in ((">&-", "Standard output is closed"), (">/dev/full", "No space left")):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-c", code],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("group", [(), ("assets",), ("audience",), ("db",), ("keys",), ("sample",)])
def test_the_help_of_a_group_has_an_example(group: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*group, "--help"])
    assert "Example: almagest" in shown.output


def leaves(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, *names, name)


@pytest.mark.parametrize("names", list(leaves(typer.main.get_command(app))), ids=" ".join)
def test_the_help_shows_no_types_of_python(names: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert not re.findall(r"^│[ *]+--.*<(?:bool|str|int|list).*", shown.output, re.MULTILINE)


def test_settings_are_readable_in_a_narrow_terminal() -> None:
    shown = CliRunner().invoke(app, ["settings"], env={"COLUMNS": "80"}).stdout.splitlines()
    names = [line for line in shown if line.startswith("ALMAGEST_")]
    assert len(names) > 40
    assert len(shown) < 3.5 * len(names)
    assert all(len(line) <= 80 for line in shown if line.startswith(" "))


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"almagest {metadata.version('almagest')}\n"


def test_no_database_is_one_sentence_with_single_spaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALMAGEST_HOME", str(tmp_path))
    monkeypatch.setenv("ALMAGEST_DB_HOST", "127.0.0.1")
    monkeypatch.setenv("ALMAGEST_DB_PORT", "9")
    with pytest.raises(DatabaseUnavailableError) as raised:
        database.connect(Settings.load(), "postgres")
    assert "as postgres: " in str(raised.value)
    assert not re.search(r"\s\s", str(raised.value))


def test_tables_without_their_libraries_name_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the public index, the name belongs to another project."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"extra `parquet`, as with `pip install '\./almagest\[parquet\]'`"):
        parquet.needs_parquet()
