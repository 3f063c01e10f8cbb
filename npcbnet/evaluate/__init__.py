"""A paper's evaluation, whole: every table and figure of it beside ours. `python -m npcbnet.evaluate cbnet` runs it.

    trained.py  ->  measured.py, scaling.py, ablations.py  ->  pooled.py  ->  claims.py  ->  page.py
    what a seed     rows of one seed                           all seeds      does it hold?  report.json, .md, .html
    trains, once
"""
