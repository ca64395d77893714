"""What a user would reach for without a learned prior: classical methods for the tasks of `bench.prior`, tuned fairly.

Every method is a call into scikit-image, OpenCV, Pillow or BM3D, gets H and the noise level, and has its settings chosen on
training photographs by `python -m bench.classical` (kept in `tuned.toml`).
"""
