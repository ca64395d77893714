"""Amounts as people read them."""

from __future__ import annotations


def bytes_text(size: float) -> str:
    """1234567 -> "1.2 MiB"."""
    if size < 1024:
        return f"{size:.0f} bytes"
    for unit in ("KiB", "MiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} GiB"


def age_text(seconds: float) -> str:
    """7300 -> "2 hours"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "under a minute"
