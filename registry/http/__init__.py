"""The registry's REST API: one file for each resource, `wire.py` for what they share.

Must never know: how changes are written, who leads and why.
"""
