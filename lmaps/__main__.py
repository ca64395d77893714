"""python -m lmaps"""

from .engine.cli import main

main()
