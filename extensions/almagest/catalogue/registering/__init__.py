"""Results that become assets of items, under names that they keep.

A result gets a dated key, `comparison:2024-05-01`, which nothing changes afterwards; `comparison:latest` is always the
same as the greatest of them. A second result of a day is `comparison:2024-05-01.2`. In the database
`almagest.register_asset` sees to that, in a catalogue of files :mod:`~almagest.catalogue.registering.keys`.
"""
