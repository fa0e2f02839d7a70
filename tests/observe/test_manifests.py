"""Did an application's own manifests change between two revisions?"""

from __future__ import annotations

from typing import Any

import pytest

from recovery.model.situation import OwnChange
from recovery.observe.manifests import compared

BAD, NOW = ("b" * 40,), ("c" * 40,)


def manifests(tag: str = "v1", made: str = "s1", **more: Any) -> tuple[dict[str, Any], ...]:
    notes = {"checksum/secret": made, **more}
    template = {"metadata": {"annotations": notes}, "spec": {"containers": [{"image": f"shop:{tag}"}]}}
    return (
        {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}},
        {"kind": "Secret", "metadata": {"name": "ca"}, "data": {"tls.crt": made}},
        {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "w"}, "webhooks": [{"clientConfig": {"caBundle": made}}]},
    )


PAIRS = {
    "the same": (manifests(), manifests(), OwnChange.unchanged),
    "in another order": (manifests(), manifests()[::-1], OwnChange.unchanged),
    "the revision stands in it": (manifests(at=BAD[0][:8]), manifests(at=NOW[0][:8]), OwnChange.unchanged),
    "another image": (manifests(), manifests("v2"), OwnChange.changed),
    "one resource more": (manifests(), (*manifests(), {"kind": "ConfigMap", "metadata": {"name": "c"}}), OwnChange.changed),
    "made up anew by the chart": (manifests(), manifests(made="s2"), OwnChange.unknown),
    "made up anew, and another image": (manifests(), manifests("v2", "s2"), OwnChange.changed),
}


@pytest.mark.parametrize(("then", "now", "found"), PAIRS.values(), ids=PAIRS)
def test_what_changed(then: tuple[dict[str, Any], ...], now: tuple[dict[str, Any], ...], found: OwnChange) -> None:
    assert compared(then, BAD, now, NOW) is found
