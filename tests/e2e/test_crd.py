"""The step from v1alpha1 to v1alpha2 on a real API server: nothing of a record is lost."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import structs

from recovery.kube.asyncio_client import connect
from recovery.record.codec import decode
from recovery.record.v1alpha1 import migrate, upgraded
from tests.testbed.bed import Bed
from tests.testbed.installation import ROOT
from tests.testbed.processes import wait_for

pytestmark = pytest.mark.e2e
SAMPLES = Path(__file__).parents[1] / "record/samples"
NAMESPACE = "gitops-system"


def test_a_record_of_the_version_before_is_written_anew_whole() -> None:
    bed = Bed()
    try:
        bed.start_kubernetes()
        bed.kubectl("create", "namespace", NAMESPACE)
        bed.kubectl("apply", "-f", str(SAMPLES / "crd-v1alpha1.yaml"))
        old = json.loads((SAMPLES / "recovery-1.json").read_text())
        name = old["metadata"]["name"]
        old["metadata"] = {"name": name, "namespace": NAMESPACE}
        wait_for(
            "the CRD to be served",
            lambda: (
                "created" in bed.kubectl("create", "-f", "-", text=json.dumps(old), check=False)
            ),
            20,
        )
        bed.kubectl("apply", "-f", str(ROOT / "manifests/crds/recoveries.yaml"))
        path = f"/apis/recovery.gitops.dev/v1alpha2/namespaces/{NAMESPACE}/recoveries/{name}"
        read = ("get", "--raw", path)  # kubectl itself remembers for hours what is served
        wait_for("the new version", lambda: name in bed.kubectl(*read, check=False), 20)

        async def migrated() -> int:
            client = await connect(str(bed.kubeconfig))
            try:
                return await migrate(client, NAMESPACE)
            finally:
                await client.close()

        assert asyncio.run(migrated()) == 1
        assert asyncio.run(migrated()) == 0, "once is enough"
        found = decode(bed.kubectl(*read).encode())
    finally:
        bed.stop()
    apart = {"version": "", "generation": 0, "spec_outdated": False}
    wanted = upgraded(json.dumps(old).encode())
    assert structs.replace(found, **apart) == structs.replace(wanted, **apart)
