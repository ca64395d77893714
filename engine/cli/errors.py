"""How a command ends when it cannot do what was asked: one line on stderr and an exit code, never a traceback.

0 done    2 bad usage or bad input    1 anything else
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

BAD_INPUT, FAILED = 2, 1


class Stop(Exception):
    """Ends a command, or one file of a folder: a line for stderr and the exit code."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code


class OneLineErrors(TyperGroup):
    """The `lmaps` command group. Usage errors, too, become one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        def run() -> Any:
            return super(OneLineErrors, self).main(args, prog_name, complete_var, False, windows_expand_args, **extra)

        if not standalone_mode:
            return run()
        try:
            code = run()
        except typer.TyperException as error:
            sys.exit(_usage(error))
        except Stop as stop:
            say(f"error: {stop}")
            sys.exit(stop.code)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stop("stopped", FAILED) from None


def say(line: str) -> None:
    """One line on stderr."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def for_people(name: str = "") -> Iterator[None]:
    """What the engine refuses becomes a `Stop`; `name` says which file it was about. A bug stays what it is."""
    prefix = f"{name}: " if name else ""
    try:
        yield
    except Stop:
        raise
    except (ValueError, TypeError, NotImplementedError) as error:
        raise Stop(f"{prefix}{error}") from error
    except MemoryError as error:
        raise Stop(f"{prefix}{_NO_MEMORY}", FAILED) from error
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise Stop(f"{prefix}{_NO_MEMORY}", FAILED) from error
        if _is_unavailable(error):
            raise Stop(f"{prefix}{error}") from error
        raise


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split()).rstrip(".")
    path = context.command_path if context is not None else "lmaps"
    if message:  # none where help was printed instead
        say(f"error: {message} (see {path} --help)")
    return BAD_INPUT


def _is_out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return "out of memory" in text or "allocate memory" in text or "bad_alloc" in text


def _is_unavailable(error: RuntimeError) -> bool:
    from ..denoisers import BackendUnavailable

    return isinstance(error, BackendUnavailable)


_NO_MEMORY = "not enough memory for a picture of this size; use --tile 256, or shrink the picture"
