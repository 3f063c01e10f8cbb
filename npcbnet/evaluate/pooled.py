"""Rows of single seeds become rows of means, with the spread over the seeds beside them."""
import numpy as np


def pooled(rows, by, spread=()):
    """One row for each set of rows that agree in the keys `by`, in the order in which they first come.

    Numbers become means (of those that are not None). Texts that differ are joined, so that no seed's warning is lost;
    everything else is the first row's. For each key of `spread` there is also KEY_spread, the standard deviation over
    the rows (n - 1; None of fewer than two). `seeds` counts the rows.
    """
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in by), []).append(row)
    made = []
    for group in groups.values():
        row = {}
        for key, first in group[0].items():
            row[key] = first
            known = [each[key] for each in group if _is_number(each.get(key))]
            if key not in by and key != "seed" and known:
                row[key] = float(np.mean(known))
            texts = dict.fromkeys(each[key] for each in group if isinstance(each.get(key), str))
            if texts:
                row[key] = "; ".join(texts)
            if key in spread:
                row[f"{key}_spread"] = float(np.std(known, ddof=1)) if len(known) > 1 else None
        row.pop("seed", None)
        made.append({**row, "seeds": len(group)})
    return made


def _is_number(value):
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
