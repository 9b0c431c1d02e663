"""Breaking a cluster on purpose, and judging what it did meanwhile."""
