"""Cells of H3, the grid of hexagons."""

from __future__ import annotations

#: Resolutions that are counted beforehand.
KEPT = range(4)


def of_place(place: str, resolution: int) -> str:
    """The cell in which a point lies.

    Args:
        place: longitude and latitude [degrees], as the database prints them.
        resolution: from 0, with 122 cells, to 15.
    """
    import h3  # not for those who never ask

    longitude, latitude = map(float, place.split())
    return str(h3.latlng_to_cell(latitude, longitude, resolution))
