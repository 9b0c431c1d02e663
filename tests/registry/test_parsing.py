"""Schemas parsed with what they refer to, at once or elsewhere, and kept."""

from __future__ import annotations

import pytest

from registry.compatibility import Level
from registry.errors import UnusableSchema
from registry.kept import CHARACTERS_MAX, NUMBER_MAX, Kept
from registry.model import Body, Reference, Version
from registry.parsing import Parser, Uncomputed
from registry.records import SchemaGone, SchemaSet
from registry.state import State
from schemas.schema import SCHEMA_CHARACTERS_MAX, SchemaType


def avro(text: str, *references: Reference) -> Body:
    """Make an Avro schema's body."""
    return Body(SchemaType.AVRO, text, references)


def record(name: str, field_type: str) -> str:
    """Write a record with one field."""
    return f'{{"type":"record","name":"{name}","fields":[{{"name":"f","type":"{field_type}"}}]}}'


def state_of(*versions: Version) -> State:
    """Make a state with versions."""
    state = State()
    for version in versions:
        state.apply(SchemaSet(version))
    return state


USER = Version("user", 1, 1, avro(record("User", "int")))
ORDER = Version("order", 1, 2, avro(record("Order", "User"), Reference("User", "user", 1)))
SHOP = avro(record("Shop", "Order"), Reference("Order", "order", 1))


def test_a_schema_is_parsed_with_all_that_it_refers_to_however_far():
    parsed = Parser(None).parse(state_of(USER, ORDER), "shop", SHOP)

    assert '"Order"' in parsed.text


def test_a_reference_that_is_not_registered_is_named():
    with pytest.raises(UnusableSchema, match='version 1 of subject "order"'):
        Parser(None).parse(state_of(USER), "shop", SHOP)


def test_a_reference_to_a_deleted_version_counts_only_where_deleted_ones_do():
    gone = Version(USER.subject, 1, 1, USER.body, deleted=True)
    state = state_of(gone)

    with pytest.raises(UnusableSchema, match="not registered"):
        Parser(None).parse(state, "order", ORDER.body)
    assert Parser(None).parse(state, "order", ORDER.body, deleted_too=True)


def test_a_reference_is_looked_up_in_the_context_of_the_schema():
    there = Version(":.c:user", 1, 1, USER.body)

    assert Parser(None).parse(state_of(there), ":.c:order", ORDER.body)
    with pytest.raises(UnusableSchema):
        Parser(None).parse(state_of(there), "order", ORDER.body)


def test_schemas_that_refer_to_one_another_are_refused():
    circle = avro(record("User", "Order"), Reference("Order", "order", 1))
    state = state_of(Version("user", 1, 3, circle), ORDER)

    with pytest.raises(UnusableSchema, match="refers to itself"):
        Parser(None).parse(state, "shop", SHOP)


def test_what_a_number_stood_for_is_not_remembered_when_it_stands_for_something_else():
    state, parser = state_of(USER), Parser(None)
    assert '"int"' not in parser.parse(state, "order", ORDER.body).text
    state.apply(SchemaGone("user", 1))
    state.apply(SchemaSet(Version("user", 1, 9, avro(record("Customer", "int")))))

    with pytest.raises(UnusableSchema, match="User"):
        parser.parse(state, "order", ORDER.body)


LISTS = avro('{"type":"array","items":"User"}', Reference("User", "user", 1))
PLAIN = avro(f'{{"type":"array","items":{record("User", "int")}}}')


def broken(parser: Parser, state: State, subject: str, body: Body, old: Body) -> list[str]:
    """Hold a schema against an earlier one of its subject. Returns: the rules that it breaks."""
    new = subject, body, parser.parse(state, subject, body)
    earlier = [Version(subject, 1, 1, old)]
    found = parser.violations(state, Level.BACKWARD, new, earlier)
    return [each.found.rule for each in found]


@pytest.mark.parametrize(("body", "old"), [(LISTS, PLAIN), (PLAIN, LISTS)])
def test_a_comparison_is_not_remembered_for_what_references_stand_for_elsewhere_or_later(body, old):
    elsewhere = Version(":.c:user", 1, 1, avro(record("User", "string")))
    state, parser = state_of(USER, elsewhere), Parser(None)

    assert broken(parser, state, "lists", body, old) == []
    assert broken(parser, state, ":.c:lists", body, old) == ["TYPE_MISMATCH"]
    state.apply(SchemaGone("user", 1))
    state.apply(SchemaSet(Version("user", 1, 9, elsewhere.body)))
    assert broken(parser, state, "lists", body, old) == ["TYPE_MISMATCH"]


async def test_a_version_is_not_parsed_again_once_it_is_known_what_breaks_it():
    ran = []

    async def elsewhere(compute):
        ran.append(compute)
        compute()

    parser, state = Parser(elsewhere), state_of(USER)

    async def act():
        return broken(parser, state, "lists", LISTS, PLAIN)

    for _ in range(2):
        assert await parser.settle(act) == []
    assert len(ran) == 3, "each is parsed, and they are compared"


def test_a_text_that_is_too_long_is_refused_before_it_is_parsed():
    with pytest.raises(UnusableSchema, match="are accepted"):
        Parser(None).parse(State(), "a", avro(" " * (SCHEMA_CHARACTERS_MAX + 1)))


@pytest.mark.parametrize("text", ['"nothing"', "{", ""])
async def test_elsewhere_is_where_schemas_are_parsed_and_refused(text):
    ran = []

    async def elsewhere(compute):
        ran.append(text)
        compute()

    parser, state = Parser(elsewhere), State()
    with pytest.raises(Uncomputed):
        parser.parse(state, "a", avro(text))

    async def act():
        return parser.parse(state, "a", avro(text))

    for _ in range(2):
        with pytest.raises(UnusableSchema):
            await parser.settle(act)
    assert ran == [text], "once is enough"


async def test_long_schemas_are_kept_by_their_length_and_still_compared_with_many_versions():
    async def elsewhere(compute):
        compute()

    parser, state = Parser(elsewhere), State()
    long = "x" * (SCHEMA_CHARACTERS_MAX - 1_000)
    bodies = [avro(f'{{"type":"int","doc":"{number}{long}"}}') for number in range(40)]
    earlier = [Version("a", number, number, each) for number, each in enumerate(bodies[1:], 1)]

    async def act():
        new = "a", bodies[0], parser.parse(state, "a", bodies[0])
        return parser.violations(state, Level.BACKWARD_TRANSITIVE, new, earlier)

    assert await parser.settle(act) == []
    assert len(parser._parsed) <= CHARACTERS_MAX // len(long)
    assert len(parser._compared) == len(earlier)


def test_what_is_kept_is_bounded_in_length_and_number_keys_included_but_two_stay():
    kept = Kept()
    for number in range(NUMBER_MAX + 10):
        kept.put((number,), number, 1)
    assert len(kept) == NUMBER_MAX

    for number in range(20):
        kept.put((str(number), b"x" * (CHARACTERS_MAX // 8)), number, 0)
    assert len(kept) <= 8
    for number in range(3):
        kept.put((number,), number, 2 * CHARACTERS_MAX)
    assert len(kept) == 2
    assert [number for number in range(3) if (number,) in kept] == [1, 2]


def test_what_was_asked_for_lately_stays():
    kept = Kept()
    for key in "abc":
        kept.put((key,), key, CHARACTERS_MAX // 4)
    assert kept.get(("a",)) == "a"
    kept.put(("a",), "A", CHARACTERS_MAX // 4)
    kept.put(("d",), "d", CHARACTERS_MAX // 2)

    assert [key for key in "abcd" if (key,) in kept] == ["a", "d"]
