"""Gradients through the network, one image at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def pull_back(xhat: Tensor, x: Tensor, u: Tensor, *, keep: bool = False) -> Tensor:
    """J^T u, J = d xhat / d x: [B, C, H, W] -> [B, C, H, W]. Images do not mix, so a batch is B products at once.

    keep: the graph is needed again. Raises ValueError for a denoiser whose answer autograd cannot follow.
    """
    if not xhat.requires_grad:
        raise ValueError(
            "this solver needs the gradient of the network, and the denoiser's answer has none: give a denoiser that torch "
            "can differentiate (a Prior's `denoise`, backend 'torch'), without no_grad or detach inside"
        )
    (g,) = torch.autograd.grad(xhat, x, u.to(xhat.dtype), retain_graph=keep)
    return g


def norms(u: Tensor) -> Tensor:
    """||u|| of each image: [B, ...] -> [B, 1, 1, 1], a sum over all entries of one image. Complex entries count |u|."""
    return torch.linalg.vector_norm(u.flatten(1), dim=1).reshape(-1, 1, 1, 1)
