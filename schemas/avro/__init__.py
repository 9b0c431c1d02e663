"""Avro schemas: parsed, printed, compared, and held against payloads.

Must never know: HTTP, subjects, where schemas are kept.
"""

from schemas.avro.schema import AvroSchema, parse

__all__ = ["AvroSchema", "parse"]
