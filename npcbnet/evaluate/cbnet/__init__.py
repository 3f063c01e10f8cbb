"""The CBNet paper's evaluation. `run.evaluate` is the whole of it.

    trained.py     ->  measured.py, scaling.py,  ->  run.py        ->  claims.py      ->  sections.py, figures.py
    what a seed        ablations.py                  rows of all       does it hold?      the page: its tables, its
    trains, once       rows of one seed              seeds: report                        pictures

paper.py has what the paper printed, elsewhere.py rows for a device that is not here, gallery.py rows and images of what
is looked at, charts.py and diagram.py draw.
"""
