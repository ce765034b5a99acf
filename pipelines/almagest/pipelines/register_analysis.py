"""Process ``register-analysis``: a NetCDF file in the store becomes an asset of an item, under a dated key.

It is opened first, so that nothing is registered that nobody could read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from almagest.core.jobs import Context, Output, Process, ProcessFailedError


class Inputs(BaseModel):
    """The file, and the item that it belongs to."""

    model_config = ConfigDict(extra="forbid")

    collection: str = Field(min_length=1, max_length=1000, description="Collection of the item.")
    item: str = Field(min_length=1, max_length=1000, description="Id of the item.")
    href: str = Field(
        pattern=r"^(file:///|s3://)",
        max_length=4000,
        description="Where the file lies in the store.",
        examples=["file:///srv/almagest/store/comparisons/a.nc"],
    )
    day: date | None = Field(
        None, description="Day of its key; today (UTC) if it is left out.", examples=["2025-06-20"]
    )
    prefix: str = Field(
        "comparison",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$",
        description="What its key begins with: `comparison` makes `comparison:2025-06-20` and `comparison:latest`.",
    )
    title: str | None = Field(
        None, max_length=1000, description="For people; the file's own `title` if it is left out."
    )
    public: bool = Field(
        False, description="Whether outsiders may see it, though it was made of what they may not see."
    )


def _run(inputs: Inputs, context: Context) -> Mapping[str, Any]:
    import xarray

    context.source(inputs.collection, inputs.item)  # fails early where there is none
    path = context.fetch(inputs.href)
    context.progress(20, "opening the file")
    try:
        with xarray.open_dataset(path) as dataset:
            variables = {str(name): [str(dim) for dim in found.dims] for name, found in dataset.data_vars.items()}
            sizes = {str(name): int(size) for name, size in dataset.sizes.items()}
            title = inputs.title or dataset.attrs.get("title")
            for found in dataset.data_vars.values():  # a file that was cut off is often opened without complaint
                found.isel(dict.fromkeys(found.dims, -1)).load()
    except Exception as error:  # each of its engines has errors of its own
        raise ProcessFailedError(f"{inputs.href} cannot be read as NetCDF: {error}") from None
    if not variables:
        raise ProcessFailedError(f"{inputs.href} holds no variables.")
    context.log(f"{len(variables)} variables over {sizes}")
    context.register(
        inputs.collection,
        inputs.item,
        inputs.href,
        prefix=inputs.prefix,
        day=inputs.day or datetime.now(UTC).date(),
        asset={"title": str(title)} if title else {},
        public=inputs.public,
    )
    return {"variables": variables, "sizes": sizes}


PROCESS = Process(
    id="register-analysis",
    version="1.0.0",
    title="Register an analysis",
    description="Opens a NetCDF file that lies in the store, and makes it an asset of an item under a key with its day,"
    " which nothing changes afterwards; `latest` follows. The same file of the same day is registered once.",
    inputs=Inputs,
    outputs={
        "variables": Output("Variables, with their dimensions", {"type": "object"}),
        "sizes": Output("Lengths of the dimensions", {"type": "object"}),
    },
    run=_run,
    scope="catalogue:write",
    # HDF5 is C code that reads what somebody else has written.
    time_limit_s=600,
    memory_limit_mb=4096,
    keywords=("netcdf", "comparison"),
)
