"""A report as a page: columns.py says what a section is, document.py makes blocks of rows, markup.py makes texts."""
