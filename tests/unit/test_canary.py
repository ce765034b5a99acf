"""The canary calls whatever outsiders may call."""

from __future__ import annotations

import re
from pathlib import Path

from almagest.catalogue import canary, migrate

#: Functions that it has no use for, and why.
EXCEPTIONS = {
    "canary_has_passed": "says whether it has passed",
    "port_version": "says which pgSTAC this is",
    "epoch": "a number for the caches of our own services, which grows with hidden changes too, and is never sent",
    "latest_change": "a place for our own services, of hidden changes too, and never sent",
    "change_floor": "says until when deletions were forgotten, whatever was deleted",
    "shown_rules": "a digest of the rules, sent only under a key of ours",
    "place_of_change": "finds a change again by a moment that somebody was told of: those that tell of them are called",
    "is_version": "of a moment that somebody was told of: item_states, which tells of them, is called",
    "neighbours": "moments of versions before and after one: item_states, which tells of them, is called",
}


def test_it_calls_every_function_of_outsiders() -> None:
    made = {
        name
        for script in migrate.scripts()
        for name in re.findall(r"CREATE OR REPLACE FUNCTION external\.(\w+)\(", script.text)
    }
    source = Path(canary.__file__).read_text(encoding="utf-8")
    called = {name for name in made if re.search(rf"\b{name}\(", source)}
    assert len(made) > 20
    assert made - called == EXCEPTIONS.keys()
