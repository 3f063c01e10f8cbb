"""The head of a report: what was run, where and with what, and what to know about its figures."""
from collections import Counter

from npcbnet import machine
from npcbnet.energy.cpu import OTHERS


def facts_of(options, firsts, paper="cbnet"):
    """What was run, where and with what."""
    sizes = [{"name": m.trained.dataset.name, "title": m.trained.dataset.title,
              **{part: len(getattr(m.trained.dataset, part)) for part in ("train", "validation", "test")}}
             for m in firsts]
    return {"paper": paper, "command": options.command, "machine": machine.describe(), "quick": options.quick,
            "seeds": list(range(options.seed, options.seed + options.seeds)), "threads": options.threads,
            "datasets": sizes}


def energy_notes(windows):
    """What was noticed while power was looked at, with how often."""
    noticed = Counter(note for window in windows for note in set(window["notes"]))
    busy = [window["others"] for window in windows if window["others"] and window["others"] > OTHERS]
    if busy:
        noticed[f"others used up to {max(busy):.0%} of the processors, and their power is counted in"] = len(busy)
    return [f"Power, {'all' if often == len(windows) else f'{often} of {len(windows)}'} runs: {note}."
            for note, often in noticed.items()]
