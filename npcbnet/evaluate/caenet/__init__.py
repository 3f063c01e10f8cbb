"""The CAE-Net paper's evaluation. `run.evaluate` is the whole of it.

    trained.py, rivals.py  ->  measured.py  ->  run.py, rows.py  ->  claims.py,          ->  sections.py, figures.py
    what a seed                rows of one      rows of all          ablation_claims.py      the page: its tables, its
    trains, once               seed             seeds: report        does it hold?           pictures

paper.py has what the paper printed; charts.py and clusters.py draw.
"""
