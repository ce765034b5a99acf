"""One way to show an item."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

Range = tuple[float, float]


@dataclass(frozen=True)
class Render:
    """What the tiler needs to know to make a picture; the names are those of its query parameters.

    Attributes:
        assets: asset keys, each with the bands to take where it has more than are shown: ``image|bidx=3,2,1``.
        title: for people.
        name: key in the render extension's ``renders``; None where we chose.
        rescale: values shown as black and as white, for all bands or one for each; empty leaves it to the tiler.
        expression: band maths over the assets' bands, ``b1`` being the first.
        colormap_name: a colour map that the tiler knows.
        colormap: a colour map of its own, as JSON.
        color_formula: rio-color operations.
        resampling: how pixels are resampled.
        nodata: value that is no data.
        zooms: smallest and largest zoom at which it is meant to be seen.
    """

    assets: tuple[str, ...]
    title: str
    name: str | None = None
    rescale: tuple[Range, ...] = ()
    expression: str | None = None
    colormap_name: str | None = None
    colormap: str | None = None
    color_formula: str | None = None
    resampling: str | None = None
    nodata: str | None = None
    zooms: tuple[int, int] | None = None

    def parameters(self) -> list[tuple[str, str]]:
        """Query parameters in an order that never changes, so that one picture has one address."""
        single = {
            "expression": self.expression,
            "colormap_name": self.colormap_name,
            "colormap": self.colormap,
            "color_formula": self.color_formula,
            "resampling": self.resampling,
            "nodata": self.nodata,
        }
        return [
            *(("assets", asset) for asset in self.assets),
            *(("rescale", f"{low:.10g},{high:.10g}") for low, high in self.rescale),
            *((key, value) for key, value in single.items() if value is not None),
        ]

    def query(self, *more: tuple[str, str]) -> str:
        """The parameters as a query string, after any others."""
        return urlencode([*more, *self.parameters()], safe=",")
