"""How one incompatibility of JSON Schemas is told: where it is, by which name, in which words.

Must never know: how it was found, references, the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.json_schema.text import shortened, shown
from schemas.schema import Incompatibility

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str, ...]
"""The steps from a schema's root to a place: keywords, names, and the numbers of items."""


def pointer(place: Iterable[str | int]) -> str:
    """Write the steps to a place as a JSON pointer in a fragment: "#/properties/age"."""
    return "#/" + "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in place)


def subject(place: Place) -> str:
    """Call a place by what its schema is for: 'property "order.lines[].price"', "the value"."""
    name = ""
    steps = list(place)
    while steps:
        step = steps.pop(0)
        if step in {"properties", "patternProperties"} and steps:
            name += ("." if name else "") + steps.pop(0)
        elif step in {"items", "prefixItems"}:
            name += f"[{steps.pop(0) if steps and steps[0].isdigit() else ''}]"
        elif step in {"additionalProperties", "unevaluatedProperties"}:
            name += ".*" if name else "*"
        elif step in {"additionalItems", "unevaluatedItems", "contains"}:
            name += "[]"
        elif step == "propertyNames":
            return f'a name in "{shortened(name)}"' if name else "a property's name"
        elif steps and (step.endswith("Of") or step.startswith("depend")):
            steps.pop(0)
    return f'property "{shortened(name)}"' if name else "the value"


def finding(
    rule: str, place: Place, *, reader: Any, writer: Any, why: str, remedy: str
) -> Incompatibility:
    """Make an incompatibility; `reader` and `writer` are what either has, None for nothing."""
    return Incompatibility(
        rule=rule,
        path=pointer(place),
        reader="" if reader is None else shown(reader),
        writer="" if writer is None else shown(writer),
        why=why,
        remedy=remedy,
    )
