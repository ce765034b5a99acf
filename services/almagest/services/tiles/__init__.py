"""The tiler: pictures of items, of collections and of registered searches.

Light at import: :mod:`almagest.services.tiles.environment` must have spoken before GDAL is loaded.
"""
