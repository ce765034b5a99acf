"""Two catalogues, and whether outsiders can tell them apart."""
