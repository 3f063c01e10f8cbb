"""Convolution of a group of images at some places alone: the lanes are the images.

    window 0  ->  sum 0  [ image 0 | image 1 | ... ]       each tap: `together` loads, one weight spread over a
    window 1  ->  sum 1  [ image 0 | image 1 | ... ]       register, `together` multiply-adds

Places of one filter go side by side, so that they share its weights and none waits for the sum before.

row: as `conv_some`'s; y is a vector a place, and weights are packed (F, C, K, K). fixed: kernel, together.
"""
from npcbnet.runtime.assembler import NUMBER


def write(f, kernel, together):
    """The function's text."""
    x, w, b, offsets, filters, y = f.pointers(0, 6)
    blocks, rows, count = f.number(6), f.pointer(7), f.number(8)
    with f.loop(0, blocks) as block:
        which = f.load(filters, block, NUMBER)
        windows = [f.at(x, f.load(offsets, block * together + j, NUMBER)) for j in range(together)]
        wf = f.at(w, which * count * kernel)
        with f.loop(0, count, carried=[f.broadcast(b, which)] * together) as row:
            offset, wk = f.load(rows, row.number, NUMBER), f.at(wf, row.number * kernel)
            for l in range(kernel):
                weight = f.broadcast(wk, l)
                for j in range(together):
                    row.sums[j] = f.fma(f.load(f.at(windows[j], offset), l * f.lanes), weight, row.sums[j])
        for j in range(together):
            f.store(row.results[j], y, (block * together + j) * f.lanes)
    return f.finish()
