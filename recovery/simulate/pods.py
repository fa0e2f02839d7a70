"""How a pod of a certain image tag does, in kubelet's and the scheduler's own words."""

from __future__ import annotations

from typing import Any

UNSCHEDULABLE = (
    "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No"
    " preemption victims found for incoming pod."
)


TAGS = (
    "ready",
    "crash",
    "crash-until-restart",
    "oom",
    "missing",
    "denied",
    "registry-down",
    "noconfig",
    "hang",
    "unschedulable",
    "fail",
    "done",
)
"""What is modelled; ``v1`` and the like, and ``ready-...``, are ready as well."""


def ready(tag: str, *, restarted: bool) -> bool:
    """Does a pod of this tag ever get ready? ``crash-until-restart`` does in pods that a restart
    made."""
    return tag.startswith(("ready", "v")) or (tag == "crash-until-restart" and restarted)


def status(
    image: str, name: str, now: str, *, restarted: bool = False, container: str = "main"
) -> dict[str, Any]:
    """``status`` of a Pod with one container of this image."""
    tag = image.rpartition(":")[2]
    if tag.startswith("recovery-drill-"):
        tag = "missing"
    if tag == "unschedulable":
        why = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": UNSCHEDULABLE,
            "lastTransitionTime": now,
        }
        return {"phase": "Pending", "conditions": [why]}
    well = ready(tag, restarted=restarted)
    if tag in ("fail", "done"):
        code = int(tag == "fail")
        over = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "startedAt": now,
            "finishedAt": now,
        }
        ended = {
            "name": container,
            "image": image,
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": over},
        }
        return {
            "phase": "Failed" if code else "Succeeded",
            "startTime": now,
            "containerStatuses": [ended],
        }
    one: dict[str, Any] = {
        "name": container,
        "image": image,
        "imageID": "",
        "ready": well,
        "restartCount": 0,
    }
    one |= {"state": {"running": {"startedAt": now}}} if well else _waiting(tag, image, name, now)
    held = {"status": "True" if well else "False", "lastTransitionTime": now}
    return {
        "phase": "Running" if well or "lastState" in one else "Pending",
        "startTime": now,
        "conditions": [{"type": kind, **held} for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [one],
    }


def _waiting(tag: str, image: str, name: str, now: str) -> dict[str, Any]:
    pull = f'Back-off pulling image "{image}": ErrImagePull: '
    resolve = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
    registry = image.partition("/")[0]
    words = {
        "missing": (
            "ImagePullBackOff",
            f"{pull}rpc error: code = NotFound desc = {resolve}{image}: not found",
        ),
        "denied": (
            "ImagePullBackOff",
            (
                f"{pull}{resolve}failed to authorize: failed to fetch oauth token: unexpected"
                " status: 401 Unauthorized"
            ),
        ),
        "registry-down": (
            "ImagePullBackOff",
            (
                f'{pull}{resolve}failed to do request: Head "https://{registry}/v2/": dial tcp'
                " 10.0.0.9:443: connect: connection refused"
            ),
        ),
        "hang": ("PodInitializing", ""),
        "noconfig": ("CreateContainerConfigError", 'configmap "settings" not found'),
    }
    if tag in words:
        reason, message = words[tag]
        return {"state": {"waiting": {"reason": reason, "message": message}}}
    oom = tag == "oom"
    ended = {
        "exitCode": 137 if oom else 1,
        "reason": "OOMKilled" if oom else "Error",
        "startedAt": now,
        "finishedAt": now,
    }
    message = f"back-off 40s restarting failed container=main pod={name}_shop"
    return {
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
        "lastState": {"terminated": ended},
    }
