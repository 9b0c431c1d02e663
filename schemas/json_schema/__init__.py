"""JSON Schemas: parsed, compared, and held against payloads.

Must never know: HTTP, subjects, where schemas are kept, any network.
"""

from schemas.json_schema.schema import JsonSchema, parse

__all__ = ["JsonSchema", "parse"]
