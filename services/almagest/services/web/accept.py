"""What a client would rather have, by its header ``Accept`` (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def preferred(header: str, offered: Sequence[str]) -> str:
    """The media type of the offered ones that suits a client best.

    Of two that it likes as well, the one that it names more exactly, then the one that is offered first. A client that
    likes none gets the first all the same: it may know it by another name.

    Args:
        header: all of `Accept`; empty where there is none.
        offered: media types without parameters, in lower case; the first is the default.
    """
    ranges = [*_ranges(header)]

    def liking(media_type: str) -> tuple[float, int]:
        fitting = [(exactness, quality) for name, quality in ranges if (exactness := _fit(name, media_type))]
        # The most exact range decides, so that `text/*, text/html;q=0` refuses HTML.
        exactness, quality = max(fitting, default=(0, 0.0), key=lambda found: found[0])
        return quality, exactness

    best = max(offered, key=liking)
    return best if liking(best)[0] > 0 else offered[0]


def _ranges(header: str) -> Iterable[tuple[str, float]]:
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name:
            yield name, _quality(parameters)


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _fit(name: str, media_type: str) -> int:
    """How exactly a range names a media type; 0 where it does not."""
    if name == media_type:
        return 3
    if name == f"{media_type.partition('/')[0]}/*":
        return 2
    return 1 if name == "*/*" else 0
