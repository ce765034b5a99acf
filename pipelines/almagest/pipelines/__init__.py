"""Pipelines: one folder each, a frozen ``Process`` value at its head. They arrive with the jobs (see README.md)."""
