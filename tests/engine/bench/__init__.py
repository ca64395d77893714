"""Tests of what `lmaps bench` measures and tells."""
