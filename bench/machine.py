"""The machine a measurement was made on, and medians of alternated timings: the engine's own, under the name used here."""

from lmaps.engine.bench.machine import alternated, machine

__all__ = ["alternated", "machine"]
