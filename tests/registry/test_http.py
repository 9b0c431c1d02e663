"""The REST API over a simulated broker: what each endpoint answers, and how it refuses."""

from __future__ import annotations

from base64 import b64decode

import pytest
import trio
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from simulation.cluster import simulated_cluster
from tests.support.registries import registries

BOUND_S = 300
V1 = '{"type":"record","name":"User","fields":[{"name":"id","type":"int"}]}'
V2 = (
    '{"type":"record","name":"User","fields":[{"name":"id","type":"int"},'
    '{"name":"age","type":["null","int"],"default":null}]}'
)
INCOMPATIBLE = (
    '{"type":"record","name":"User","fields":[{"name":"id","type":"int"},'
    '{"name":"age","type":"int"}]}'
)


@pytest.fixture
async def api(autojump_clock):
    """A caller of a registry over one broker. Returns: Caller."""
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (_, (caller,), _nursery),
        ):
            yield caller


async def test_a_schema_is_found_by_its_id_its_version_and_its_text(api):
    assert await api.register_id("users-value", V1) == 1

    assert (await api.get("/schemas/ids/1"))[1]["schema"] == V1
    status, version = await api.get("/subjects/users-value/versions/1")
    assert status == 200
    assert version["schema"] == V1
    assert (version["subject"], version["version"], version["id"]) == ("users-value", 1, 1)
    status, found = await api.call("POST", "/subjects/users-value", {"schema": V1})
    assert (status, found["version"]) == (200, 1)


async def test_a_registration_is_answered_with_all_that_serializers_name_schemas_by(api):
    status, first = await api.register("users", V1)
    _, second = await api.register("users", V2)
    _, version = await api.get("/subjects/users/versions/1")

    assert (status, first) == (200, {"id": 1, "version": 1, "guid": version["guid"]})
    assert (second["id"], second["version"]) == (2, 2)
    assert (await api.register("users", V1)) == (200, first)
    assert await api.get("/schemas/ids/1") == (200, {"guid": first["guid"], "schema": V1})
    found = await api.get(f"/schemas/guids/{first['guid']}")
    assert found == (200, {"guid": first["guid"], "schema": V1})


async def test_the_same_schema_has_the_same_id_under_every_subject(api):
    first = await api.register("a", V1)

    assert await api.register("a", V1) == first
    assert await api.register("b", V1) == first
    assert await api.get("/schemas/ids/1/subjects") == (200, ["a", "b"])
    assert (await api.get("/subjects/a/versions"))[1] == [1]


async def test_a_compatible_schema_becomes_the_next_version(api):
    await api.register("users", V1)

    assert await api.register_id("users", V2) == 2
    assert await api.get("/subjects/users/versions") == (200, [1, 2])
    assert (await api.get("/subjects/users/versions/latest"))[1]["version"] == 2
    assert (await api.get("/subjects/users/versions/-1"))[1]["version"] == 2


async def test_an_incompatible_schema_is_refused_with_the_field_and_the_remedy(api):
    await api.register("users", V1)

    status, refusal = await api.register("users", INCOMPATIBLE)

    assert (status, refusal["error_code"]) == (409, 409)
    assert "age" in refusal["message"]
    assert "default" in refusal["message"]
    assert await api.get("/subjects/users/versions") == (200, [1])


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/subjects/none/versions", None, (404, 40401)),
        ("GET", "/subjects/none/versions/1", None, (404, 40401)),
        ("GET", "/subjects/users/versions/2", None, (404, 40402)),
        ("GET", "/subjects/users/versions/0", None, (422, 42202)),
        ("GET", "/subjects/users/versions/two", None, (422, 42202)),
        ("GET", "/schemas/ids/99", None, (404, 40403)),
        ("GET", "/schemas/guids/00000000-0000-0000-0000-000000000000", None, (404, 40403)),
        ("POST", "/subjects/users", {"schema": '"int"'}, (404, 40403)),
        ("POST", "/subjects/none", {"schema": '"int"'}, (404, 40401)),
        ("POST", "/subjects/users/versions", {"schema": '"no"'}, (422, 42201)),
        ("POST", "/subjects/users/versions", {}, (422, 42201)),
        ("POST", "/subjects/users/versions", {"schema": ""}, (422, 42201)),
        ("POST", "/subjects/users", {"schema": " ", "schemaType": "JSON"}, (422, 42201)),
        ("POST", "/compatibility/subjects/users/versions/1", {"schema": None}, (422, 42201)),
        ("POST", "/subjects/users/versions", {"schema": 5}, (422, 422)),
        ("POST", "/subjects/users/versions", {"schema": '"int"', "schemaType": "X"}, (422, 422)),
        ("POST", "/subjects/users/versions", [1], (422, 422)),
        (
            "POST",
            "/subjects/users/versions",
            {"schema": '"int"', "references": [{"name": "A", "subject": "none", "version": 1}]},
            (422, 42201),
        ),
        ("DELETE", "/subjects/none", None, (404, 40401)),
        ("DELETE", "/subjects/users?permanent=true", None, (404, 40405)),
        ("DELETE", "/subjects/users/versions/1?permanent=true", None, (404, 40407)),
        ("DELETE", "/subjects/users/versions/9", None, (404, 40402)),
        ("GET", "/config/users", None, (404, 40408)),
        ("GET", "/mode/users", None, (404, 40409)),
        ("PUT", "/config", {"compatibility": "MAYBE"}, (422, 42203)),
        ("PUT", "/config/users", {}, (422, 422)),
        ("PUT", "/mode", {"mode": "MAYBE"}, (422, 42204)),
        ("PUT", "/mode", {"mode": "IMPORT"}, (422, 42205)),
        ("DELETE", "/config/users", None, (404, 40401)),
        ("DELETE", "/mode/users", None, (404, 40401)),
        ("POST", "/compatibility/subjects/users/versions/7", {"schema": '"int"'}, (404, 40402)),
        ("GET", "/subjects?deleted=perhaps", None, (422, 422)),
        ("GET", "/nowhere", None, (404, 404)),
        ("POST", "/config", {}, (405, 405)),
    ],
)
async def test_what_is_wrong_is_refused_with_the_code_of_the_public_api(
    api, method, path, body, expected
):
    await api.register("users", V1)

    status, refusal = await api.call(method, path, body)

    assert (status, refusal["error_code"]) == expected
    assert refusal["message"]


async def test_deleted_softly_a_version_is_gone_but_for_those_who_ask_for_deleted_ones(api):
    await api.register("users", V1)
    await api.register("users", V2)

    assert await api.call("DELETE", "/subjects/users/versions/latest") == (200, 2)

    assert await api.get("/subjects/users/versions") == (200, [1])
    assert await api.get("/subjects/users/versions?deleted=true") == (200, [1, 2])
    assert await api.get("/subjects/users/versions?deletedOnly=true") == (200, [2])
    assert (await api.get("/subjects/users/versions/2"))[0] == 404
    assert (await api.get("/subjects/users/versions/2?deleted=true"))[0] == 200
    assert (await api.get("/schemas/ids/2"))[0] == 200, "what was written with it is still read"
    assert (await api.call("DELETE", "/subjects/users/versions/2"))[1]["error_code"] == 40406


async def test_deleted_permanently_a_version_is_gone_and_its_number_used_again_by_no_one_else(api):
    await api.register("users", V1)
    await api.register("users", V2)
    await api.call("DELETE", "/subjects/users/versions/1")

    assert await api.call("DELETE", "/subjects/users/versions/1?permanent=true") == (200, 1)

    assert (await api.get("/schemas/ids/1"))[0] == 404
    assert await api.get("/subjects/users/versions?deleted=true") == (200, [2])


async def test_a_deleted_subject_can_be_registered_again_and_goes_on_counting(api):
    await api.register("users", V1)
    assert await api.call("DELETE", "/subjects/users") == (200, [1])
    assert await api.get("/subjects") == (200, [])
    assert await api.get("/subjects?deleted=true") == (200, ["users"])
    assert (await api.call("DELETE", "/subjects/users"))[1]["error_code"] == 40404

    assert await api.register_id("users", V1) == 1

    assert await api.get("/subjects/users/versions") == (200, [2])


async def test_an_id_is_given_once_even_when_its_schema_is_gone_for_good(api):
    await api.register("users", V1)
    await api.call("DELETE", "/subjects/users")
    await api.call("DELETE", "/subjects/users?permanent=true")

    assert await api.register_id("others", V2) == 2


async def test_what_others_refer_to_cannot_be_deleted(api):
    await api.register("users", V1)
    order = '{"type":"record","name":"Order","fields":[{"name":"by","type":"User"}]}'
    refers = [{"name": "User", "subject": "users", "version": 1}]
    assert (await api.register("orders", order, references=refers))[0] == 200
    assert await api.get("/subjects/users/versions/1/referencedby") == (200, [2])

    status, refusal = await api.call("DELETE", "/subjects/users/versions/1")
    assert (status, refusal["error_code"]) == (422, 42206)
    assert "orders" in refusal["message"]

    await api.call("DELETE", "/subjects/orders")
    assert (await api.call("DELETE", "/subjects/users"))[0] == 200


async def test_the_level_of_a_subject_outweighs_that_of_all(api):
    assert await api.get("/config") == (200, {"compatibilityLevel": "BACKWARD"})
    await api.register("users", V1)
    assert await api.call("PUT", "/config/users", {"compatibility": "none"}) == (
        200,
        {"compatibility": "NONE"},
    )

    assert (await api.register("users", INCOMPATIBLE))[0] == 200

    assert await api.get("/config/users") == (200, {"compatibilityLevel": "NONE"})
    assert await api.call("DELETE", "/config/users") == (200, {"compatibilityLevel": "NONE"})
    assert await api.get("/config/users?defaultToGlobal=true") == (
        200,
        {"compatibilityLevel": "BACKWARD"},
    )


async def test_compatibility_is_told_without_registering(api):
    await api.register("users", V1)

    path = "/compatibility/subjects/users/versions/latest?verbose=true"
    assert await api.call("POST", path, {"schema": V2}) == (
        200,
        {"is_compatible": True, "messages": []},
    )
    status, told = await api.call("POST", path, {"schema": INCOMPATIBLE})
    assert (status, told["is_compatible"]) == (200, False)
    assert "age" in told["messages"][0]
    without = "/compatibility/subjects/users/versions"
    assert await api.call("POST", without, {"schema": INCOMPATIBLE}) == (
        200,
        {"is_compatible": False},
    )
    assert await api.get("/subjects/users/versions") == (200, [1])


async def test_a_subject_that_is_read_only_takes_nothing(api):
    await api.register("users", V1)
    assert await api.call("PUT", "/mode/users", {"mode": "READONLY"}) == (
        200,
        {"mode": "READONLY"},
    )

    assert (await api.register("users", V2))[1]["error_code"] == 42205
    assert (await api.call("DELETE", "/subjects/users"))[1]["error_code"] == 42205
    assert (await api.register("users", V1))[0] == 200, "it is there already"
    assert (await api.register("others", V2))[0] == 200


async def test_schemas_are_imported_with_their_ids(api):
    await api.call("PUT", "/mode", {"mode": "IMPORT"})

    assert await api.register_id("users", V1, id=40, version=3) == 40
    assert (await api.register("other", V2, id=40, version=1))[1]["error_code"] == 42205
    await api.call("PUT", "/mode", {"mode": "READWRITE"})

    assert await api.get("/subjects/users/versions") == (200, [3])
    assert await api.register_id("new", V2) == 41


async def test_contexts_count_their_own_ids(api):
    await api.register("users", V1)

    assert await api.register_id(":.b:users", V2) == 1

    assert await api.get("/contexts") == (200, [".", ".b"])
    assert await api.get("/subjects") == (200, [":.b:users", "users"])
    assert await api.get("/contexts/.b/subjects") == (200, [":.b:users"])
    assert (await api.get("/contexts/.b/subjects/users/versions/1"))[1]["schema"] == V2
    assert (await api.get("/contexts/.b/schemas/ids/1"))[1]["schema"] == V2
    assert (await api.get("/schemas/ids/1"))[1]["schema"] == V1
    assert (await api.get("/schemas/ids/1?subject=:.b:"))[1]["schema"] == V2


async def test_a_subject_may_hold_any_character_that_can_be_printed(api):
    assert (await api.register("a%2Fb%20%C3%A9", V1))[0] == 200

    assert await api.get("/subjects") == (200, ["a/b é"])
    assert (await api.get("/subjects/a%2Fb%20%C3%A9/versions/1"))[0] == 200
    assert (await api.register("a%0Ab", V1))[1]["error_code"] == 42208
    assert (await api.register("x" * 1_025, V1))[1]["error_code"] == 42208
    assert (await api.call("PUT", "/mode/:.x", {"mode": "READONLY"}))[1]["error_code"] == 42208
    assert (await api.call("PUT", "/config/" + "x" * 1_025, {"compatibility": "NONE"}))[0] == 422
    assert (await api.register("a%C2%A0b", V1))[0] == 200, "no control character"
    assert "a\u00a0b" in (await api.get("/subjects"))[1]


async def test_versions_are_listed_across_subjects(api):
    await api.register("a", V1)
    await api.register("a", V2)
    await api.register("b", V1)

    status, everything = await api.get("/schemas")
    assert [(each["subject"], each["version"]) for each in everything] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
    ]
    status, latest = await api.get("/schemas?latestOnly=true&limit=1")
    assert status == 200
    assert [(each["subject"], each["version"]) for each in latest] == [("a", 2)]
    assert [each["id"] for each in (await api.get("/schemas?subjectPrefix=b"))[1]] == [1]


@pytest.mark.parametrize(
    ("accepted", "answered"),
    [
        ("*/*", "application/vnd.schemaregistry.v1+json"),
        ("application/json", "application/json"),
        (
            "text/html, application/vnd.schemaregistry+json;q=0.5",
            "application/vnd.schemaregistry+json",
        ),
    ],
)
async def test_the_answer_has_a_media_type_that_the_client_accepts(api, accepted, answered):
    response = await api._client.get(f"{api._url}/subjects", headers={"accept": accepted})

    assert response.headers["content-type"] == answered


async def test_media_types_that_nobody_understands_are_refused(api):
    assert (await api.call("GET", "/subjects", accept="text/html"))[0] == 406
    headers = {"content-type": "text/plain"}
    response = await api._client.put(f"{api._url}/config", content=b"{}", headers=headers)
    assert response.status_code == 415


async def test_avro_is_given_out_with_what_it_refers_to_where_that_is_asked_for(api):
    user = (
        '{"type":"record","name":"User","namespace":"shop","fields":[{"name":"id","type":"int"}]}'
    )
    await api.register("user", user)
    order = {
        "schema": '{"type":"record","name":"Order","namespace":"shop","fields":['
        '{"name":"by","type":"User"},{"name":"for","type":["null","User"]}]}',
        "references": [{"name": "shop.User", "subject": "user", "version": 1}],
    }
    _, registered = await api.call("POST", "/subjects/order/versions", order)
    path = f"/schemas/ids/{registered['id']}"

    _, stored = await api.get(path)
    assert stored["schema"] == order["schema"]
    _, resolved = await api.get(f"{path}?format=resolved")
    assert resolved["schema"] == (
        '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"by","type":'
        '{"type":"record","name":"User","fields":[{"name":"id","type":"int"}]}},'
        '{"name":"for","type":["null","User"]}]}'
    )
    for place in ("/subjects/order/versions/1", "/subjects/order/versions/latest"):
        _, version = await api.get(f"{place}?format=resolved")
        assert version["schema"] == resolved["schema"]
    assert (await api.get("/schemas/ids/1?format=resolved"))[1]["schema"] == user


async def test_protobuf_is_given_out_as_a_descriptor_where_that_is_asked_for(api):
    source = 'syntax = "proto3"; message Point { int32 x = 1; }'
    await api.call("POST", "/subjects/point/versions", {"schema": source, "schemaType": "PROTOBUF"})

    _, found = await api.get("/schemas/ids/1?format=serialized")

    file = FileDescriptorProto.FromString(b64decode(found["schema"]))
    assert [message.name for message in file.message_type] == ["Point"]
