"""What the pictures of both papers' pages are made of.

    marks.py, bars.py     ->  panel.py            ->  render.py      ->  plotted.py, plain.py, labels.py
    looks, texts, bars        what a chart shows      writes a file      with matplotlib, with Pillow, texts' places

frontier.py is the chart that both pages have, sheets.py serves pictures that are no charts, draw.py draws all of a
page.
"""
