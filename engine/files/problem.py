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
