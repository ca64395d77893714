"""The fused steps in Triton, each beside its plain twin. Importing this package needs neither Triton nor a GPU."""


def available() -> tuple[bool, str]:
    """(can the kernels run here?, why or why not). Imports Triton, which `import lmaps.kernels` alone does not."""
    from ._triton import available as here

    return here()


__all__ = ["available"]
