"""Logs as JSON lines on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog


def configure(service: str, facts: Callable[[], Mapping[str, str]] = dict) -> None:
    """Sends everything, the libraries' messages too, through one JSON formatter.

    Args:
        service: stands in each line.
        facts: what else does, asked for each.
    """

    def stamp(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        event.update(facts())
        return event

    shared: list[structlog.typing.Processor] = [
        stamp,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # nginx writes the access log; httpx would log addresses with their queries, titiler a line for each tile.
    for name in ("uvicorn.access", "httpx", "rasterio", "botocore", "titiler", "rio-tiler", "celery", "kombu"):
        logging.getLogger(name).setLevel(logging.WARNING)
