"""Reductions and cumulative sums: fewer numbers of many."""
