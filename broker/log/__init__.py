"""One partition's log on disk, in Kafka's own format.

Must never know: the network, requests, other partitions.
"""
