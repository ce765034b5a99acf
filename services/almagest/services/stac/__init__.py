"""The STAC API: one factory for every audience."""
