"""Networks that others trained: ADM, EDM's DhariwalUNet and SongUNet; `recognise` knows them by a checkpoint's tensors."""

from .build import ARCHITECTURES

__all__ = ["ARCHITECTURES"]
