from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.catalogue.paging import Anchor, TokenKey
from almagest.core.errors import BadRequestError

KEY = TokenKey(b"secret", "internal")
VALUES = st.lists(st.none() | st.text(st.characters(blacklist_categories=["Cs"])), max_size=4).map(tuple)
SEARCH = {"collections": ["a"], "sortby": [{"field": "id", "direction": "asc"}]}


@given(VALUES, st.booleans())
def test_a_token_gives_back_its_anchor(values: tuple[str | None, ...], backward: bool) -> None:
    anchor = Anchor(values, backward)
    assert KEY.read(KEY.sign(anchor, SEARCH), SEARCH) == anchor


@pytest.mark.parametrize(
    "search",
    [{**SEARCH, "collections": ["b"]}, {**SEARCH, "filter": {"op": "=", "args": [1, 1]}}, {}],
)
def test_a_token_belongs_to_its_search(search: dict[str, object]) -> None:
    token = KEY.sign(Anchor(("x",), backward=False), SEARCH)
    with pytest.raises(BadRequestError):
        KEY.read(token, search)


def test_limit_and_fields_may_change_between_pages() -> None:
    token = KEY.sign(Anchor(("x",), backward=False), SEARCH)
    assert KEY.read(token, {**SEARCH, "limit": 3, "fields": {"include": ["id"]}, "token": token}).values == ("x",)


def test_tokens_are_nothing_to_another_audience_or_key() -> None:
    token = KEY.sign(Anchor(("x",), backward=False), SEARCH)
    for other in (TokenKey(b"secret", "external"), TokenKey(b"other", "internal")):
        with pytest.raises(BadRequestError):
            other.read(token, SEARCH)


def test_tokens_of_the_previous_key_go_on_and_those_of_the_one_before_do_not() -> None:
    first, second, third = b"1", b"2", b"3"
    anchor = Anchor(("x",), backward=True)
    under_way = TokenKey(first, "internal").sign(anchor, SEARCH)
    rotated = TokenKey(second, "internal", previous=first)
    assert rotated.read(under_way, SEARCH) == anchor
    assert rotated.sign(anchor, SEARCH) == TokenKey(second, "internal").sign(anchor, SEARCH)
    for other in (TokenKey(third, "internal", previous=second), TokenKey(second, "external", previous=first)):
        with pytest.raises(BadRequestError):
            other.read(under_way, SEARCH)


def test_where_there_is_no_previous_key_none_is_guessed() -> None:
    with pytest.raises(BadRequestError):
        KEY.read(TokenKey(b"", "internal").sign(Anchor(("x",), backward=False), SEARCH), SEARCH)


@given(st.text())
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(BadRequestError):
        KEY.read(token, SEARCH)


def test_a_turned_token_is_refused() -> None:
    token = KEY.sign(Anchor(("x",), backward=False), SEARCH)
    with pytest.raises(BadRequestError):
        KEY.read(token.replace("next:", "prev:"), SEARCH)
    raw = bytearray(base64.urlsafe_b64decode(token[5:] + "=" * (-len(token[5:]) % 4)))
    raw[-2] ^= 1
    with pytest.raises(BadRequestError):
        KEY.read("next:" + base64.urlsafe_b64encode(bytes(raw)).decode(), SEARCH)
