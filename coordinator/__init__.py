"""The cluster's coordinator: its store, its state, its decisions and the controller."""
