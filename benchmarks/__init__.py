"""How fast eagerflow is, measured beside hand-written NumPy and other libraries in one run."""
