"""The command that compares registries: it finds what they disagree about, and nothing else."""

from __future__ import annotations

import json

import httpx
import pytest

from registry.compatibility import Level
from tests.interop.compare_registries import compare
from tests.support.schema_stories import STORIES, VERSIONS

STORIES_TOLD = 3


def registry_that(decides):
    """A registry whose answer to a version is a status. Returns: httpx.Client."""

    def answer(request):
        if request.method == "PUT":
            return httpx.Response(200, json={})
        status = decides(request.url.path, json.loads(request.content)["schema"])
        return httpx.Response(status, json={"message": f"decided {status}"})

    return httpx.Client(base_url="http://registry", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("kind", STORIES)
def test_two_that_decide_alike_agree_about_every_version_under_every_level(kind):
    texts = set()

    def take(_path, text):
        texts.add(text)
        return 200

    found = compare(
        registry_that(take), registry_that(take), kind=kind, stories=STORIES_TOLD, number=1
    )

    assert found.decisions == {"taken": STORIES_TOLD * len(Level) * VERSIONS}
    assert found.disagreements == []
    assert len(texts) > STORIES_TOLD


def test_a_story_is_told_up_to_the_version_that_they_disagree_about():
    counts = {}

    def refuse_the_second(path, _text):
        counts[path] = counts.get(path, 0) + 1
        return 409 if counts[path] == 2 else 200

    found = compare(
        registry_that(refuse_the_second),
        registry_that(lambda _path, _text: 200),
        kind="AVRO",
        stories=STORIES_TOLD,
        number=1,
    )

    assert found.decisions == {"taken": STORIES_TOLD * len(Level)}
    assert [each.outcomes for each in found.disagreements] == [
        ("incompatible", "taken")
    ] * STORIES_TOLD * len(Level)
    assert {len(each.versions) for each in found.disagreements} == {2}
    assert {each.level for each in found.disagreements} == set(Level)
    assert "decided 409" in str(found.disagreements[0])


def test_a_registry_that_fails_decides_nothing():
    found = compare(
        registry_that(lambda _path, _text: 200),
        registry_that(lambda _path, _text: 500),
        kind="AVRO",
        stories=1,
        number=1,
    )

    assert {each.outcomes for each in found.disagreements} == {("taken", "failed")}
