"""People's files in and out: pictures, measurements, masks, kernels, folders."""

from .given import read_kernel, read_mask
from .measurement import Measurement, read_measurement, write_measurement
from .picture import Picture
from .problem import FileProblem
from .reading import SUFFIXES, read_image
from .walk import Job, plan_jobs
from .writing import write_image

__all__ = [
    "SUFFIXES",
    "FileProblem",
    "Job",
    "Measurement",
    "Picture",
    "plan_jobs",
    "read_image",
    "read_kernel",
    "read_mask",
    "read_measurement",
    "write_image",
    "write_measurement",
]
