"""One section in a process of its own: `python -P -m bench.gpu.child NAME --rows FILE ...`. Started by `__main__`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from . import stand_ins
from .plan import SECTIONS


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.gpu.child")
    parser.add_argument("section", choices=[s.name for s in SECTIONS])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    parser.add_argument("--until", type=float, required=True)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    absent = stand_ins.install()
    print("stand-ins for:", ", ".join(absent) or "nothing", flush=True)
    from .bench import Bench

    bench = Bench(given.device, given.rows, given.until, tiny=given.tiny)
    import_module(f".{given.section}", __package__).run(bench)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
