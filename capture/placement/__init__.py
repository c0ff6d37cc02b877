"""Placement: which device runs which node of a graph.

Costs say what nodes and transfers take, constraints what the program asks for; the placer simulates runs and decides.
"""

from eagerflow.capture.placement.costs import Costs
from eagerflow.capture.placement.placement import Candidate, Decision, Placement
from eagerflow.capture.placement.placer import candidates, place
from eagerflow.capture.placement.simulate import Simulation, simulate

__all__ = ["Candidate", "Costs", "Decision", "Placement", "Simulation", "candidates", "place", "simulate"]
