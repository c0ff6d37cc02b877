"""Kinds over any namespace of the array API standard: NumPy's names for what the standard calls otherwise."""
