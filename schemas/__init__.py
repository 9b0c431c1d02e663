"""Schemas of every type: parsed, compared, and held against a payload.

Must never know: HTTP, topics, subjects, an event loop.
"""
