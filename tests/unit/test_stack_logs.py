from __future__ import annotations

from pathlib import Path

import pytest

from almagest.cli.stack import logs
from almagest.core.errors import NotFoundError
from almagest.core.settings import Settings, Site


@pytest.fixture
def settings(home: Path) -> Settings:
    (home / "logs").mkdir()
    for name in ("stac-0", "stac-1", "nginx", "nginx-access"):
        (home / "logs" / f"{name}.log").write_text("".join(f"{name} {number}\n" for number in range(100)))
    return Settings(site=Site(home=home))


def test_logs_are_found_by_process_or_kind(settings: Settings) -> None:
    assert list(logs.files(settings)) == ["nginx-access", "nginx", "stac-0", "stac-1"]
    assert list(logs.files(settings, "stac")) == ["stac-0", "stac-1"]
    assert list(logs.files(settings, "stac-1")) == ["stac-1"]


def test_an_unknown_name_lists_the_known_ones(settings: Settings) -> None:
    with pytest.raises(NotFoundError, match=r"'tile'.*stac-0"):
        logs.files(settings, "tile")


def test_the_end_of_a_log(settings: Settings) -> None:
    path = logs.files(settings)["stac-0"]
    assert logs.tail(path, 2) == ["stac-0 98", "stac-0 99"]
    assert logs.tail(path, 0) == []
    assert logs.tail(path.with_name("none.log"), 5) == []


def test_new_lines_are_followed_through_a_rotation(settings: Settings) -> None:
    path = logs.files(settings)["stac-0"]
    steps = iter(["append", "rotate", "append", "stop"])

    def until() -> bool:
        step = next(steps)
        if step == "rotate":
            path.rename(path.with_suffix(".log.1"))
        if step in {"append", "rotate"}:
            with path.open("a") as file:
                file.write(f"after {step}\n")
        return step == "stop"

    followed = [line for _, line in logs.follow({"stac-0": path}, until)]
    assert followed == ["after append", "after rotate", "after append"]
