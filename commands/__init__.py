"""The commands of `ottla`, one file per command group; `cli.py` assembles them.

Must never know: how a broker or the coordinator works inside (they are other processes).
"""
