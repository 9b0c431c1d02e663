"""Values in Protobuf's own spelling: strings, bytes and floats, each in one way.

Must never know: descriptors.
"""

from __future__ import annotations

import struct

from google.protobuf.text_encoding import CEscape, CUnescape

from schemas.schema import InvalidSchema


def quoted(text: str) -> str:
    """Give a string as a literal of .proto source, letters beyond ASCII as they are."""
    return f'"{CEscape(text, as_utf8=True)}"'


def escaped(text: str) -> str:
    """Escape the default of a bytes field in one way; it came as its compiler escapes.

    Raises: InvalidSchema where it is not escaped at all.
    """
    try:
        return str(CEscape(CUnescape(text), as_utf8=False))
    except ValueError:
        raise InvalidSchema(
            f"the default {text[:100]!a} is not escaped: write bytes in octal"
        ) from None


def float_text(text: str, *, single: bool) -> str:
    """Write the default of a float in one way; it came as its compiler writes numbers.

    Raises: InvalidSchema where it is no decimal number.
    """
    try:
        number = float(text)
    except ValueError:
        raise InvalidSchema(f"the default {text[:100]!a} is no decimal number") from None
    if not single:
        return repr(number)
    try:
        (number,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        number = float("inf") if number > 0 else float("-inf")
    return f"{number:.9g}"
