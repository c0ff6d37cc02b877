"""How fast eagerflow is, measured beside hand-written NumPy, PyTorch and autograd in one run."""
