"""Smaller variants of trained models: weights and sums in 8-bit integers, or most weights pruned to zero.

    from npcbnet.compress.quantise import quantise
    small = quantise(model, images)              # images that were not trained on, and not of the test set

`python -m npcbnet.compress` makes one, says what it costs, and saves it.
"""
