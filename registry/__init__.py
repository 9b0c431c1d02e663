"""The schema registry: Confluent's REST API over a compacted topic.

Must never know: how a broker works inside (it is a client of the brokers).
"""
