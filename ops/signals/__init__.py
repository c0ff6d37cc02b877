"""Samples of functions, signals and polynomials."""
