"""The local MAP step: settings, strategies, and the choice among them."""

from .choose import Strategy, build, choose
from .settings import STRATEGIES, LocalMAP

__all__ = ["STRATEGIES", "LocalMAP", "Strategy", "build", "choose"]
