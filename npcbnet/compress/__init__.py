"""Smaller variants of trained models: weights and sums in 8-bit integers, or most weights pruned to zero."""
from npcbnet.compress.prune import prune
from npcbnet.compress.quantise import quantise

__all__ = ["prune", "quantise"]
