"""Names in the catalogue that are Almagest's own."""

#: The collection by which it checks itself (:mod:`almagest.catalogue.canary`); nobody else's to read, write or copy.
CANARY = "almagest-canary"
