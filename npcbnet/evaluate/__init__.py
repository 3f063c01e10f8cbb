"""A paper's evaluation, whole: every table and figure of it beside ours. `python -m npcbnet.evaluate cbnet` runs it.

    cbnet/, caenet/   what each paper's evaluation trains, measures, judges and shows; begin with their __init__.py
    page/, pictures/  how a report becomes report.json, .md and .html, and how charts are drawn

What both papers share stands here: options.py and scope.py (what is asked for, and how much of it), kept.py (what was
trained stays), measuring.py and pooled.py (power, the frontier, means over seeds), facts.py (the head of a report),
reading.py (names and numbers of its rows), verdicts.py (what claims are judged with).
"""
