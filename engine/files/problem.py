"""The one exception that a person's file can raise."""

from __future__ import annotations

import os


class FileProblem(ValueError):
    """A file that cannot be used: one line that names the file, what is wrong with it, and the mend.

    Decoders and encoders do not know the file's name: what they raise begins with the verb, and `read_image` and
    `write_image` put the name before it.
    """


def reason(error: OSError) -> str:
    """What the operating system says, without the number and the path: "No space left on device"."""
    return error.strerror or (os.strerror(error.errno) if error.errno else str(error) or type(error).__name__)


DAMAGED = "is damaged ({}); make a new copy of it"
ONLY_FIRST = "holds several pictures; only the first was read"


def refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    """Raises FileProblem where H x W is above the limit."""
    height, width = size
    if width * height > max_pixels:
        raise FileProblem(
            f"is too large ({width}x{height} = {width * height / 1e6:.0f} megapixels, "
            f"the limit is {max_pixels / 1e6:.0f}); shrink it or cut it into parts"
        )
