"""Matchups: scenes of two sensors that saw the same ground at nearly the same time.

`scenes` holds footprints and times in columns, `areas` measures on the ellipsoid, `pairing` finds the pairs, `events`
groups them. None of these knows of a database, of STAC, or of the network.
"""
