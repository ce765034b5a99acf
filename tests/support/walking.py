"""Searches over HTTP, page by page, as a client asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from almagest.core.addresses import segment
from support.mixture import COLLECTIONS
from support.searches import Search, as_parameters

Document = dict[str, Any]
Key = tuple[str, str]

ALONE = [[name] for name in COLLECTIONS]


@dataclass(frozen=True)
class Api:
    """The API of one audience, as a client meets it."""

    client: httpx.Client
    prefix: str

    def ask(self, search: Search, method: str) -> httpx.Response:
        """The first page of a search."""
        address, parameters = f"{self.prefix}/search", as_parameters(search, text=method != "GET")
        if method == "POST":
            return self.client.post(address, json=search)
        if method == "GET items" and search.get("collections") in ALONE and not {"ids", "intersects"} & {*search}:
            address = f"{self.prefix}/collections/{segment(parameters.pop('collections'))}/items"
        return self.client.get(address, params=parameters)

    def follow(self, link: Document) -> httpx.Response:
        """The page that a link leads to."""
        return self.client.request(link["method"], link["href"], json=link.get("body"))

    def first(self, search: Search) -> list[Document]:
        """The items of a search that has one page."""
        (page,) = self.walk(self.ask(search, "POST"), "next")
        return list(page["features"])

    def walk(self, answer: httpx.Response, rel: str) -> Iterator[Document]:
        """This page and all that follow by their links."""
        for _ in range(1000):
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield page
            following = link(page, rel)
            if following is None:
                return
            answer = self.follow(following)
        raise AssertionError("paging does not end")


def key(document: Document) -> Key:
    return document["collection"], document["id"]


def link(page: Document, rel: str) -> Document | None:
    return next((found for found in page["links"] if found["rel"] == rel), None)


def expected_link(page: Document, rel: str) -> Document:
    """A link that must be there."""
    present = link(page, rel)
    assert present is not None, f"no {rel}"
    return present


def token_of(link: Document) -> str:
    return str(link["body"]["token"]) if "body" in link else httpx.URL(link["href"]).params["token"]
