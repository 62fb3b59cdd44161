"""Mutated inputs for every reader: `python -m scripts.mutate --help`."""
