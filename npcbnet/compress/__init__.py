"""Smaller variants of trained models: weights and sums in 8-bit integers, or most weights pruned to zero.

    from npcbnet.compress.quantise import quantise
    small = quantise(model, images)              # images that were not trained on, and not of the test set

Or a compression for each layer, chosen under budgets:

    from npcbnet.compress import adadeep
    found = adadeep.search(model, dataset, adadeep.Budgets(max_drop=0.5, storage_bytes=100_000))

Or whatever keeps a service-level objective (SLO), in milliseconds an image, measured here:

    from npcbnet.compress import search, slo
    found = slo.meet(model, dataset, 0.01)                  # prunes connections, then channels, and trains
    found = search.search_architecture(dataset, 0.005)      # draws small networks and trains the promising

magnitude.py prunes connections while it trains, structure.py channels; distil.py lets a student learn from a model.

`python -m npcbnet.compress` makes one, says what it costs, and saves it.
"""
