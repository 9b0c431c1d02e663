"""Plans as text (TOML), to be kept, read, changed by hand and run again.

Must never know: how a plan is drawn or run, where its text is kept.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulation.kinds import Fault
from simulation.plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.plan import Plan


class PlanUnreadable(ValueError):
    """A text is no plan; the message says where and why."""


def decode_plan(text: str) -> Plan:
    """Read a plan. Raises: PlanUnreadable."""
    try:
        return read_plan(tomllib.loads(text))
    except KeyError as error:
        raise PlanUnreadable(f"there is no [{error.args[0]}] in it") from None
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise PlanUnreadable(str(error)) from None


def encode_plan(plan: Plan, *, found: str) -> str:
    """Write a plan, and what it has `found`."""
    return "\n".join([f"found = {_value(found)}", "", "[plan]", *_lines(plan)]) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    for name in plan.__struct_fields__:
        if name != "faults":
            yield f"{name} = {_value(getattr(plan, name))}"
    for fault in plan.faults:
        yield from ("", "[[faults]]", f"at_s = {fault.at_s!r}", f"kind = {_value(fault.kind)}")
        nothing = Fault(fault.at_s, fault.kind)
        for name in fault._fields:
            value = getattr(fault, name)
            if value != getattr(nothing, name):
                yield f"{name} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {json.dumps(text)}" for key, text in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)  # of text, numbers and truth: TOML writes them alike
