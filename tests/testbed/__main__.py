"""``make bed``: the real Kubernetes and Argo CD, with the controller's manifests installed, until
Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib

from recovery.kube.asyncio_client import connect
from tests.testbed.bed import Bed
from tests.testbed.binaries import say
from tests.testbed.installation import BASE, install
from tests.testbed.kubelet import Kubelet


async def main(bed: Bed) -> None:
    """Keep the pods alive."""
    client = await connect(str(bed.kubeconfig))
    try:
        await Kubelet(client).run()
    finally:
        await client.close()


if __name__ == "__main__":
    bed = Bed()
    try:
        bed.start()
        install(bed, BASE)
        say(f"kubectl: {bed.bin / 'kubectl'} --kubeconfig={bed.kubeconfig}")
        say(
            f"the controller: KUBECONFIG={bed.kubeconfig} RECOVERY_LISTEN=127.0.0.1:8080 recovery run"
        )
        say(f"Argo CD's API: http://127.0.0.1:{bed.argocd_port}; Ctrl-C ends everything")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(main(bed))
    finally:
        bed.stop()
