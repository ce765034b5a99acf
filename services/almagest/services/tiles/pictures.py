"""From pixels to a picture that an image format can hold."""

from __future__ import annotations

from typing import Any

from rio_tiler.models import ImageData
from titiler.core.resources.enums import ImageType
from titiler.core.utils import render_image

from almagest.core.errors import BadRequestError

#: Formats that keep any number of bands of any type: what a program asks for, not a person.
RAW_FORMATS = frozenset({ImageType.tif, ImageType.tiff, ImageType.npy, ImageType.pngraw, ImageType.jp2})


def is_seen(image_format: str | None) -> bool:
    """Whether a format is one for eyes."""
    return image_format is None or image_format not in {entry.value for entry in RAW_FORMATS}


def render(image: ImageData, *, output_format: ImageType | None = None, **options: Any) -> tuple[bytes, str]:
    """Encodes an image; for eyes, the first three bands of many, or the first of two.

    Raises:
        BadRequestError: a colour formula or colour map does not fit the bands.
    """
    if is_seen(output_format.value if output_format else None) and image.count not in {1, 3}:
        image = _first(image, 3 if image.count > 3 else 1)
        if options.get("rescale"):
            options["rescale"] = options["rescale"][: image.count]
    try:
        return render_image(image, output_format=output_format, **options)
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
