"""Networks that others trained: ADM, EDM's DhariwalUNet and SongUNet; recognised from a checkpoint's tensors."""

from .recognise import ARCHITECTURES, Recognised, recognise

__all__ = ["ARCHITECTURES", "Recognised", "recognise"]
