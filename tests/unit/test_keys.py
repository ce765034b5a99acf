"""What a key looks like, and what an operator may say about one."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue import keys
from almagest.catalogue.keys import Key
from almagest.cli.keys import duration, moment
from almagest.core.errors import ConfigurationError, UnauthorizedError
from almagest.services.ops.authorization import client_address
from almagest.services.web.inventory import Scope

WHOLE = f"alm_{'a1B2c3D4'}_{'x' * 43}"


def test_a_key_is_what_it_was_made_as() -> None:
    key = Key.make()
    assert (len(key.id), len(key.secret)) == (8, 43)
    assert Key.parse(key.reveal()) == key
    assert key.sha256 == hashlib.sha256(key.secret.encode()).digest()
    assert Key.make() != key


def test_a_printed_key_hides_its_secret() -> None:
    key = Key.make()
    assert key.secret not in f"{key} {key!r}"


@given(st.text() | st.sampled_from([WHOLE, WHOLE[:-1], f"{WHOLE}a", f"{WHOLE}\n", f" {WHOLE}", WHOLE.upper()]))
def test_whatever_else_is_sent_is_not_a_key(text: str) -> None:
    if text == WHOLE:
        assert Key.parse(text).reveal() == text
    else:
        with pytest.raises(UnauthorizedError, match="This is not a key"):
            Key.parse(text)


@pytest.mark.parametrize("odd", ["é", "٣", "\u00b2", "_", "-", "\x00", "Ⅷ"])
def test_only_ascii_letters_and_digits_stand_in_a_key(odd: str) -> None:
    for text in (f"alm_{odd}1B2c3D4_{'x' * 43}", f"alm_a1B2c3D4_{'x' * 42}{odd}"):
        with pytest.raises(UnauthorizedError):
            Key.parse(text)


def test_every_scope_that_a_route_may_ask_for_can_be_given() -> None:
    """But for what only people may who have logged in: a key that leaks must not make others."""
    assert set(keys.SCOPES) == {scope for scope in Scope if not scope.is_open} - {Scope.ACCOUNT}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90d", timedelta(days=90)),
        ("30m", timedelta(minutes=30)),
        (" 12h ", timedelta(hours=12)),
        ("4w", timedelta(weeks=4)),
        ("2027-01-01", datetime.fromisoformat("2027-01-01")),
        ("2027-01-01T06:00:00+02:00", datetime.fromisoformat("2027-01-01T04:00:00+00:00")),
    ],
)
def test_a_time_may_be_a_duration_or_a_date(text: str, meant: datetime | timedelta) -> None:
    assert moment(text) == meant


@pytest.mark.parametrize("text", ["", "soon", "90", "d", "-1d", "1y", "1.5h", "2027-13-01", "9999999d", "٣d"])
def test_a_time_that_is_none_is_said(text: str) -> None:
    with pytest.raises(ConfigurationError, match="duration"):
        moment(text)
    with pytest.raises(ConfigurationError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unix:", None),
        ("", None),
        ("192.0.2.1, 10.0.0.1", None),
        ("192.0.2.0/24", None),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str | None) -> None:
    assert client_address(text) == address


@given(st.ip_addresses())
def test_every_address_is_understood(address: object) -> None:
    assert client_address(str(address)) is not None
