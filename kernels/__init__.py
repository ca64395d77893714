"""The fused steps in Triton, each beside its plain twin. Importing this package needs neither Triton nor a GPU."""

from ._triton import available

__all__ = ["available"]
