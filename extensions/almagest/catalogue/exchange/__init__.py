"""Documents in from elsewhere, and out to files: every format, one door each way.

:func:`open_source` reads whatever a location holds, :func:`writer` writes one of three formats. Neither judges a
document nor knows of a database.
"""

from almagest.catalogue.exchange.opening import open_source
from almagest.catalogue.exchange.records import Document, Reading, Record, Source, Unreadable
from almagest.catalogue.exchange.writing import FORMATS, Format, Writer, form_of, writer

__all__ = [
    "FORMATS",
    "Document",
    "Format",
    "Reading",
    "Record",
    "Source",
    "Unreadable",
    "Writer",
    "form_of",
    "open_source",
    "writer",
]
