"""The training recipe of the shipped prior: `python -m lmaps.engine.priors.training.train --help`."""
