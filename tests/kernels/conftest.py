"""Triton decides when it is imported whether kernels are interpreted, so those tests run in a process of their own.

`test_interpreter.py` starts it; TRITON_INTERPRET=1 pytest tests/kernels/interpreted shows them one by one.
"""

import os

collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted"]
