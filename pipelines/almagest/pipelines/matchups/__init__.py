"""Matchups: scenes of two sensors that saw the same ground at nearly the same time.

`scenes` holds footprints and times in columns, `areas` measures on the ellipsoid, `pairing` finds the pairs, `events`
and `finding` group them, `chains` names what they make; `naming`, `sun` and `documents` say how all this looks in STAC.
None of these knows of a database or of the network. `gathering` takes scenes from STAC items, `catalogued` from the
catalogue; `updating` brings the catalogue up to date, which the process `find_matchups` is asked for.

Of what is still to come, `elements` reads orbits and `orbits` tells where satellites are; `crossings` finds where two
of them meet, `boxes` are around that, `predictions` makes items of it and tells which have come true. `predicting`
brings the catalogue up to date, which the process `predict_crossings` is asked for.
"""
