"""The steps every request passes before the registry, in one order, in one file (`chain.py`)."""
