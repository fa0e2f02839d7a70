"""Every story on the real bed, under the shipped RBAC; its transcript is that of the embedded
cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.connected_stories import CONNECTED_STORIES
from tests.e2e.cause_stories import SCORES, table
from tests.e2e.conftest import Show
from tests.e2e.drill_stories import DRILL_STORIES
from tests.e2e.guard_stories import GUARD_STORIES
from tests.e2e.harm_stories import HARM_STORIES
from tests.e2e.people_stories import PEOPLE_STORIES
from tests.e2e.replay_stories import REPLAY_STORIES
from tests.e2e.rollout_stories import ALL_CAUSE_STORIES
from tests.e2e.tenant_stories import TENANT_STORIES
from tests.stage import Stage
from tests.stories import STORIES
from tests.test_stories import play
from tests.testbed.installation import ACCOUNT, VIEWER

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("story", [*STORIES, *CONNECTED_STORIES], ids=lambda s: s.__name__)
def test_story(show: Show, story: Callable[[Stage], Awaitable[list[str]]]) -> None:
    played = show.results[story.__name__].result()

    embedded = play(story, played.stage.prefix)
    assert played.transcripts == embedded, (
        f"on the real bed {played.transcripts}, embedded {embedded}"
    )
    assert all(code == 0 for code in played.stage.exit_codes if "killed" not in story.__name__)


@pytest.mark.parametrize("story", GUARD_STORIES, ids=lambda s: s.__name__)
def test_guards_and_replicas(show: Show, story: Callable[[Any], Awaitable[list[str]]]) -> None:
    played = show.results[story.__name__].result()

    assert all(code == 0 for code in played.stage.exit_codes)


@pytest.mark.parametrize("story", REPLAY_STORIES, ids=lambda s: s.__name__)
def test_the_past_is_found_as_it_was(
    show: Show, story: Callable[[Any], Awaitable[list[str]]]
) -> None:
    played = show.results[story.__name__].result()

    assert played.stage.exit_codes == [], "no controller ever ran"


@pytest.mark.parametrize("story", DRILL_STORIES, ids=lambda s: s.__name__)
def test_a_drill(show: Show, story: Callable[[Any], Awaitable[list[str]]]) -> None:
    played = show.results[story.__name__].result()

    assert played.stage.exit_codes == [0]


@pytest.mark.parametrize("story", TENANT_STORIES, ids=lambda s: s.__name__)
def test_a_hostile_owner_gains_nothing(
    show: Show, story: Callable[[Any], Awaitable[list[str]]]
) -> None:
    played = show.results[story.__name__].result()

    assert all(code == 0 for code in played.stage.exit_codes)


@pytest.mark.parametrize("story", HARM_STORIES, ids=lambda s: s.__name__)
def test_it_makes_no_outage_worse(show: Show, story: Callable[[Any], Awaitable[list[str]]]) -> None:
    played = show.results[story.__name__].result()

    assert all(code == 0 for code in played.stage.exit_codes)


@pytest.mark.parametrize("story", PEOPLE_STORIES, ids=lambda s: s.__name__)
def test_people(show: Show, story: Callable[[Any], Awaitable[list[str]]]) -> None:
    played = show.results[story.__name__].result()

    codes = played.stage.exit_codes
    assert [codes[0], *codes[2:]] == [0] * (len(codes) - 1), (
        "the second one was killed, where there is a third"
    )


@pytest.mark.parametrize("story", ALL_CAUSE_STORIES, ids=lambda s: s.__name__)
def test_causes(show: Show, story: Callable[[Any], Awaitable[list[str]]]) -> None:
    played = show.results[story.__name__].result()

    found = SCORES[played.stage.prefix]
    print(table(found))
    assert found
    assert [s.case.name for s in found if not s.right or s.wrong] == []
    assert all(code == 0 for code in played.stage.exit_codes)


def _asked(
    show: Show, namespaces: str = r"gitops-system(-\d|-55)?"
) -> Counter[tuple[str, str, str, bool]]:
    """What our ServiceAccounts asked for: verb, group, resource, and whether it was denied."""
    found: Counter[tuple[str, str, str, bool]] = Counter()
    events: list[dict[str, Any]] = []
    for result in show.results.values():
        events = result.result().stage.audit()  # the bed's whole log, when the last story is over
    for event in events:
        if re.fullmatch(
            rf"system:serviceaccount:{namespaces}:{ACCOUNT}", event["user"]["username"]
        ):
            ref = event["objectRef"]
            denied = event.get("responseStatus", {}).get("code") == 403
            part = ref.get("subresource")
            resource = ref["resource"] + (f"/{part}" if part else "")  # as RBAC spells it
            found[event["verb"], ref.get("apiGroup", ""), resource, denied] += 1
    return found


def test_no_verb_is_denied_and_none_is_granted_in_vain(show: Show) -> None:
    from tests.testbed.installation import ROOT, objects

    asked = _asked(show)
    denied = [key for key in asked if key[3]]
    assert denied == []
    granted = set()
    for file in ("rbac.yaml", "in-argocd.yaml", "viewer.yaml"):
        for document in objects(
            (ROOT / "manifests/base" / file)
            .read_text()
            .replace("kind: InArgoCDNamespace", "kind: List")
        ):
            if document["metadata"]["name"] != VIEWER:
                for rule in document.get("rules", ()):
                    granted |= {
                        (v, g, r)
                        for v in rule["verbs"]
                        for g in rule["apiGroups"]
                        for r in rule["resources"]
                    }
    used = {key[:3] for key in asked}
    assert granted - used == set()


def test_the_connections_overlay_is_denied_nothing_and_grants_nothing_in_vain(show: Show) -> None:
    from tests.testbed.installation import ROOT, objects

    asked = _asked(show, r"gitops-system-7\d")
    assert [key for key in asked if key[3]] == []
    granted = set()
    listed = (ROOT / "manifests/components/connections/in-argocd.yaml").read_text()
    for document in objects(listed.replace("kind: ConnectionsInArgoCDNamespace", "kind: List")):
        for rule in document.get("rules", ()):
            granted |= {
                (v, g, r)
                for v in rule["verbs"]
                for g in rule["apiGroups"]
                for r in rule["resources"]
            }
    assert granted - {key[:3] for key in asked} == set()
