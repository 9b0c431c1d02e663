"""The public API (being assembled)."""
