"""Kafka's wire protocol: bytes to messages and back. Must never know: sockets, trio, disk."""
