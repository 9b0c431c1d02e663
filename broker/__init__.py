"""The broker: partition logs, replication, and the APIs of Kafka over them."""
