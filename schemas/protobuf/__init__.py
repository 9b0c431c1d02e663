"""Protobuf schemas: compiled, printed, compared, and held against payloads.

Must never know: HTTP, subjects, where schemas are kept.
"""

from schemas.protobuf.schema import ProtobufSchema, parse

__all__ = ["ProtobufSchema", "parse"]
