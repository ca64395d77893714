"""TensorRT's own library: is it there, and its messages in Python's logging."""

from __future__ import annotations

import logging
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt

OLDEST = 10
LOG = logging.getLogger("lmaps.tensorrt")
_MEND = "install NVIDIA's tensorrt 10 or newer as its guide describes (PyPI alone does not hold its libraries)"
_errors: deque[str] = deque(maxlen=8)


class TensorRTError(RuntimeError):
    """TensorRT refused what it was asked for; the message holds what it said."""


def missing() -> str | None:
    """Why TensorRT cannot be used in this process, or None. Does not look for a GPU."""
    try:
        import tensorrt as trt
    except (ImportError, OSError) as error:  # OSError: the package is there, a library it loads is not
        return f"the package tensorrt cannot be imported ({error}); {_MEND}"
    if not hasattr(trt, "Builder"):
        return f"the tensorrt that is found is a folder of type stubs, not the library; {_MEND}"
    if int(trt.__version__.split(".")[0]) < OLDEST:
        return f"TensorRT {trt.__version__} is too old; {_MEND}"
    return None


def version() -> str:
    import tensorrt as trt

    return trt.__version__


@cache
def logger() -> trt.ILogger:
    """One for the process, as TensorRT wants it: messages go to the logger "lmaps.tensorrt", information as debug."""
    import tensorrt as trt

    levels = {
        int(trt.ILogger.Severity.INTERNAL_ERROR): logging.ERROR,
        int(trt.ILogger.Severity.ERROR): logging.ERROR,
        int(trt.ILogger.Severity.WARNING): logging.WARNING,
    }

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 asks for this form

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            level = levels.get(int(severity), logging.DEBUG)
            if level == logging.ERROR:
                _errors.append(msg.strip())
            LOG.log(level, "%s", msg)

    return Logger()


def listen() -> None:
    """Forget what TensorRT has said so far: what it says from here on explains the next `refusal`."""
    _errors.clear()


def refusal(what: str) -> TensorRTError:
    """An error that says `what` failed, with what TensorRT has logged as errors since `listen`."""
    said = "; ".join(dict.fromkeys(_errors))
    listen()
    return TensorRTError(f"{what}: {said or 'TensorRT gave no reason'}")
