"""Consumer groups in the store: who owns one, its committed offsets, its membership as bytes."""
