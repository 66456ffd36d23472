"""``midlayer dd``: copy between devices and files, many commands at once.

`operands` reads the command line, `ends` opens what it names, `copier` moves the blocks, `log` remembers
how far they came, `report` says so.
"""
