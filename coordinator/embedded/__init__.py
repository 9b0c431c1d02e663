"""A persistent single-node server of ZooKeeper's client protocol, over the pure tree."""
