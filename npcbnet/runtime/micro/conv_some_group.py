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
    blocks, C, x_row, x_channel = f.numbers(6, 4)
    taps = kernel * kernel
    with f.loop(0, blocks) as block:
        which = f.load(filters, block, NUMBER)
        windows = [f.at(x, f.load(offsets, block * together + j, NUMBER)) for j in range(together)]
        wf = f.at(w, which * C * taps)
        with f.loop(0, C, carried=[f.broadcast(b, which)] * together) as channel:
            wc = f.at(wf, channel.number * taps)
            with f.loop(0, kernel, carried=channel.sums) as row:
                offset, wk = channel.number * x_channel + row.number * x_row, f.at(wc, row.number * kernel)
                rows = [f.at(window, offset) for window in windows]
                for l in range(kernel):
                    weight = f.broadcast(wk, l)
                    for j in range(together):
                        row.sums[j] = f.fma(f.load(rows[j], l * f.lanes), weight, row.sums[j])
            channel.sums[:] = row.results
        for j in range(together):
            f.store(channel.results[j], y, (block * together + j) * f.lanes)
    return f.finish()
