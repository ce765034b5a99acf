"""Keeping a catalogue equal to another one, by what that tells of itself."""

from almagest.catalogue.mirroring.entries import BeginAnewError, Entry, Judge, Page, Source
from almagest.catalogue.mirroring.running import Options, follow
from almagest.catalogue.mirroring.tally import Tally

__all__ = ["BeginAnewError", "Entry", "Judge", "Options", "Page", "Source", "Tally", "follow"]
