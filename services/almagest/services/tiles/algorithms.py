"""What is done to pixels before they become a picture or numbers."""

# Annotations are evaluated where they stand, as in dependencies.

from typing import Annotated, Any

import attr
from fastapi import Query
from numpy import floating
from numpy.typing import NDArray
from rio_tiler.models import BandStatistics, ImageData
from titiler.core.algorithm import algorithms as available_algorithms
from titiler.core.algorithm.base import BaseAlgorithm

from almagest.core.errors import BadRequestError


def process(
    algorithm: Annotated[str | None, Query(description="Name of an algorithm; see /algorithms.")] = None,
    algorithm_params: Annotated[str | None, Query(description="Its parameters, as JSON.")] = None,
) -> BaseAlgorithm | None:
    """What is done to the pixels before they become a picture."""
    try:
        found = available_algorithms.dependency(algorithm=algorithm, algorithm_params=algorithm_params)
    except Exception as error:  # its parser lets through whatever a malformed one leads to
        raise BadRequestError("The algorithm or its parameters are unknown or malformed: see /algorithms.") from error
    if found is None:
        return None

    def run(image: ImageData) -> ImageData:
        try:
            processed: ImageData = found(image)
        except Exception as error:
            raise BadRequestError("This algorithm does not fit these bands.") from error
        if not processed.array.size:
            raise BadRequestError("This algorithm leaves nothing of so few pixels: ask for a larger picture.")
        return _Processed(**{field.name: getattr(processed, field.name) for field in attr.fields(ImageData)})

    return run  # type: ignore[return-value]


class _Processed(ImageData):
    """What an algorithm made. Those that look at neighbours leave out the pixels at the edge, which have not all."""

    def statistics(  # type: ignore[override]  # with names alone, as titiler calls it
        self, *, coverage: NDArray[floating[Any]] | None = None, **options: Any
    ) -> dict[str, BandStatistics]:
        """Statistics; titiler measures how a shape covers the pixels before the algorithm takes the edge away."""
        if coverage is not None:
            top, left = (coverage.shape[0] - self.height) // 2, (coverage.shape[1] - self.width) // 2
            coverage = coverage[top : top + self.height, left : left + self.width]
        return super().statistics(coverage=coverage, **options)
