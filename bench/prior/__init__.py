"""The evidence for the shipped prior, on photographs it has never seen: `python -m bench.prior --help`."""
