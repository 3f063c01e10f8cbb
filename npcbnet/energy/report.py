"""Results of energy as a small table for the terminal, with everything that a reader must know below it."""
from npcbnet.energy.result import INTERVALS

_HEADING = ("run", "images", "ms an image", "W", "mJ an image", "busy", "kind", "meter")


def text(results):
    """The page for {name: Energy}."""
    rows = [_HEADING] + [_row(name, one) for name, one in results.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADING))]
    right = (1, 2, 3, 4, 5)
    lines = ["  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    for name, one in results.items():
        if one.invalid:
            lines += [f"INVALID: {name}: {one.invalid}"]
    lines.append("")
    lines += dict.fromkeys(f"{one.meter}: {one.source}; resolution: {one.resolution}" for one in results.values())
    notes = {}
    for name, one in results.items():
        for note in one.notes:
            notes.setdefault(note, []).append(name)
    lines += [f"{', '.join(names)}: {note}" for note, names in notes.items()]
    return "\n".join(lines)


def _row(name, one):
    seen = "" if one.utilisation is None else f"{one.utilisation:.0%}"
    mark = " INVALID" if one.invalid else ""
    return (name, f"{one.images:,}", f"{1000 * one.seconds / one.images:.4g}", f"{one.power_w:.3g}",
            f"{one.energy_mj:.4g}{mark}", seen, one.kind, one.meter)


def offers_text(offers):
    """The page for a list of Offer: what is here, and why the rest is not."""
    width = max(len(one.name) for one in offers)
    lines = [f"{one.name:{width}}  {one.kind}  {'no: ' + one.why_not if one.why_not else 'here: ' + one.source}"
             for one in offers]
    return "\n".join([*lines, "", "Logs of other instruments (--log): um34c, tegrastats, nvidia-smi. A run that is "
                              f"shorter than {INTERVALS} steps of its meter is refused."])
