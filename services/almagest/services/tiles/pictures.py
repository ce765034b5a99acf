"""From pixels to a picture that an image format can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
from rio_tiler.models import ImageData
from titiler.core.resources.enums import ImageType
from titiler.core.utils import render_image

from almagest.catalogue.rendering.render import Range
from almagest.core.errors import BadRequestError

#: Formats that keep any number of bands of any type: what a program asks for, not a person.
RAW_FORMATS = frozenset({ImageType.tif, ImageType.tiff, ImageType.npy, ImageType.pngraw, ImageType.jp2})


def render(
    image: ImageData,
    *,
    output_format: ImageType | None = None,
    rescale: Sequence[Range] | None = None,
    stretch: Callable[[], list[Range]] | None = None,
    **options: Any,
) -> tuple[bytes, str]:
    """Encodes an image; for eyes, the first three bands of many, or the first of two.

    Args:
        image: the pixels.
        output_format: PNG or JPEG, as needed, if not given.
        rescale: values to show as black and white.
        stretch: finds them out, where they are not given and needed.
        options: of titiler's ``render_image``.

    Raises:
        BadRequestError: a colour formula or colour map does not fit the bands.
    """
    if output_format not in RAW_FORMATS:
        if stretch and not rescale and image.array.dtype != numpy.uint8:
            rescale = stretch()
        if image.count not in {1, 3}:
            image = _first(image, 3 if image.count > 3 else 1)
            rescale = rescale[: image.count] if rescale else None
    try:
        return render_image(image, output_format=output_format, rescale=rescale or None, **options)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BadRequestError("The colour formula, colour map or range does not fit these bands.") from error


def _first(image: ImageData, count: int) -> ImageData:
    statistics = image.dataset_statistics
    return ImageData(
        image.array[:count],
        assets=image.assets,
        crs=image.crs,
        bounds=image.bounds,
        band_names=image.band_names[:count],
        band_descriptions=image.band_descriptions[:count],
        dataset_statistics=list(statistics)[:count] if statistics else None,
        metadata=image.metadata,
        cutline_mask=image.cutline_mask,
    )
