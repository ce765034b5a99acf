"""Putting documents from anywhere into the catalogue, again and again: what is there already is only compared.

:func:`almagest.catalogue.ingest.engine.ingest` works on the database, ``almagest.client.sending`` through the API. Both
count into a :class:`~almagest.catalogue.ingest.tally.Tally`.
"""
