"""Priors with a known answer: a Gaussian, and the Gaussian mixture of the paper's Appendix A."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class GaussianPrior:
    """x0 ~ N(mean, covariance), pictures of `shape` flattened; the exact denoiser and the exact posterior."""

    mean: Tensor
    covariance: Tensor
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        self.values, self.vectors = torch.linalg.eigh(self.covariance)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """mean + C (C + sigma^2 I)^-1 (x - mean)."""
        shrink = self.values / (self.values + sigma.double()[:, None].square())
        c = (x.double().flatten(1) - self.mean) @ self.vectors
        return (self.mean + (shrink * c) @ self.vectors.T).reshape(x.shape).to(x.dtype)

    def posterior_mean(self, a: Tensor, y: Tensor, sigma_y: float) -> Tensor:
        """E[x0 | y = A x0 + sigma_y n]."""
        middle = a @ self.covariance @ a.T + sigma_y**2 * torch.eye(len(a), dtype=torch.float64)
        gain = self.covariance @ a.T @ torch.linalg.inv(middle)
        return (self.mean + (y.double() - self.mean @ a.T) @ gain.T).reshape(-1, *self.shape)


@dataclass
class Mixture:
    """sum_k pi_k N(mu_k, S_k) (Eq. 19). means [K, d], covariances [K, d, d], weights [K], all float64."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def components(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
        """Log responsibilities [B, K] (Eq. 25), posterior means [B, K, d] (Eq. 24) and covariances [K, d, d] (Eq. 23)."""
        eye = torch.eye(self.means.shape[1], dtype=torch.float64)
        precision = torch.linalg.inv(self.covariances)
        s_k = torch.linalg.inv(precision + eye / sigma**2)
        pulled = (precision @ self.means[..., None])[..., 0] + x[:, None] / sigma**2
        m_k = (s_k @ pulled[..., None])[..., 0]
        noisy = torch.distributions.MultivariateNormal(self.means, self.covariances + sigma**2 * eye)
        log_r = self.weights.log() + noisy.log_prob(x[:, None])
        return log_r - log_r.logsumexp(1, keepdim=True), m_k, s_k

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Eq. 27."""
        log_r, m_k, _ = self.components(x.flatten(1).double(), float(sigma[0]))
        return (log_r.exp()[..., None] * m_k).sum(1).reshape(x.shape).to(x.dtype)

    def local_map(self, x: Tensor, sigma: float) -> Tensor:
        """Eq. 28: the component with the highest posterior peak."""
        log_r, m_k, s_k = self.components(x.flatten(1).double(), sigma)
        peak = log_r - 0.5 * torch.logdet(2 * math.pi * s_k)
        best = peak.argmax(1)
        return m_k[torch.arange(len(x)), best].reshape(x.shape).to(x.dtype)

    def log_density(self, x: Tensor) -> Tensor:
        parts = torch.distributions.MultivariateNormal(self.means, self.covariances)
        return (self.weights.log() + parts.log_prob(x.flatten(1).double()[:, None])).logsumexp(1)
