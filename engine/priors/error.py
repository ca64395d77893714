"""The one kind of error that files of weights give."""

from __future__ import annotations

from ...export.external_data import GraphError


class PriorError(ValueError):
    """A prior or checkpoint that cannot be used, with the file, what is wrong with it, and what to do."""


class NoGraph(PriorError, GraphError):
    """A prior that has no ONNX graph and cannot make one here, with the reason."""


class NoModule(PriorError):
    """A prior that is a graph and has no torch network: no backend "torch", and no gradient."""
