"""Networks that others trained: ADM, EDM's DhariwalUNet and SongUNet; recognised from a checkpoint's tensors."""

from .build import ARCHITECTURES
from .recognise import Recognised, recognise

__all__ = ["ARCHITECTURES", "Recognised", "recognise"]
