"""Bytes that nobody meant: python -m tests.fuzz [INPUTS] [SEED]. What reads them says no, or yes,
and nothing else.

Policy files and Applications are cut, doubled, exchanged and spoilt, by seed. No other exception
than the one that is promised, no input that takes long, and no memory that grows with their number.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recovery.act.registry import POLICY_ACTIONS
from recovery.observe import wire
from recovery.policies import InvalidPolicies, parse

ROOT = Path(__file__).parent.parent
SPOILT = (
    b"\x00",
    b"\xff\xfe",
    b"{",
    b"}",
    b"[",
    b"]",
    b": ",
    b"- ",
    b"\t",
    b"&a ",
    b"*a ",
    b"!!python/object ",
    b"'",
    b'"',
    b"\n",
    b"1e999",
)
SPOILT += (
    b"null",
    b"true",
    b"-1",
    b"\xe2\x80\xae",
    b"9" * 40,
    b"<<: ",
    b"|\n",
    b"? ",
    b"%YAML 1.1\n---\n",
    b"\\u0000",
    b"\\ud800",
)
SLOW = 2.0
"""Seconds that one input may take; a policy file takes milliseconds."""


class Broken(AssertionError):
    """Something that must hold did not."""


def policies() -> list[bytes]:
    """What is written by people."""
    found = [
        path.read_bytes()
        for path in [*ROOT.glob("config/*.yaml"), *ROOT.glob("config/examples/*.yaml")]
    ]
    guards = b"guards: {storm: {group: 30%}, windows: [{schedule: '0 2 * * *', duration: 1h}], pauses: [{reason: x, until: 2026-01-01}]}\n"
    return [*found, found[0] + guards]


def applications() -> list[bytes]:
    """What Argo CD writes."""
    state = {
        "phase": "Failed",
        "message": "one or more objects failed",
        "startedAt": "2026-03-02T12:00:00Z",
        "syncResult": {"resources": []},
    }
    body: dict[str, Any] = {
        "metadata": {
            "name": "cart",
            "namespace": "argocd",
            "uid": "1",
            "annotations": {"recovery.gitops.dev/hold": '{"bad": ["x"]}'},
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example/x"},
            "destination": {"server": "https://x"},
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": "a" * 40},
            "health": {"status": "Degraded", "lastTransitionTime": "2026-03-02T12:00:00Z"},
            "conditions": [
                {
                    "type": "SyncError",
                    "message": "x" * 200,
                    "lastTransitionTime": "2026-03-02T12:00:00Z",
                }
            ],
            "operationState": state,
            "history": [{"id": 1, "revision": "b" * 40, "deployedAt": "2026-03-02T11:00:00Z"}],
            "resources": [{"kind": "Deployment", "name": "cart", "group": "apps"}],
        },
    }
    project = {
        "metadata": {"name": "p"},
        "spec": {
            "syncWindows": [
                {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
            ]
        },
    }
    return [
        json.dumps(body).encode(),
        json.dumps(
            {**body, "spec": {**body["spec"], "sources": [body["spec"]["source"]] * 3}}
        ).encode(),
        json.dumps(project).encode(),
    ]


def spoil(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of them, no longer as it was."""
    text = bytearray(chance.choice(seeds))
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(6):
            case 0:
                text[at : at + chance.randrange(1, 40)] = b""
            case 1:
                text[at:at] = chance.choice(SPOILT)
            case 2:
                text[at:at] = text[at : at + chance.randrange(1, 200)] * chance.randrange(1, 4)
            case 3 if text:
                text[at % len(text)] = chance.randrange(256)
            case 4:
                other = chance.choice(seeds)
                begin = chance.randrange(len(other))
                text[at:at] = other[begin : begin + 120]
            case _:
                text[at:at] = bytes(
                    chance.randrange(32, 127) for _ in range(chance.randrange(1, 12))
                )
    return bytes(text)


def read_policies(raw: bytes) -> None:
    """Policies, or InvalidPolicies with something to say."""
    try:
        parse(raw, POLICY_ACTIONS)
    except InvalidPolicies as error:
        if not error.problems or not all(p.message for p in error.problems):
            raise Broken("refused without a word") from error


def read_application(raw: bytes) -> None:
    """An application and a project, or one of the errors that a reflector counts as unreadable."""
    for decode in (wire.application, wire.project, wire.application_set):
        try:
            decode(raw)
        except wire.Unreadable:
            continue


def run(inputs: int, seed: int, told: Callable[[str], None]) -> None:
    """So many inputs to each reader."""
    chance = random.Random(seed)  # noqa: S311 (inputs that can be made again)
    readers = (
        (read_policies, policies(), max(inputs // 20, 1)),
        (read_application, applications(), inputs),
    )
    for reader, seeds, count in readers:
        slowest, before = 0.0, 0
        for number in range(count):
            raw = spoil(chance, seeds)
            began = time.perf_counter()
            try:
                reader(raw)
            except Exception as error:
                raise Broken(
                    f"{reader.__name__}: {type(error).__name__}: {error}: seed {seed}, input {number}: {raw[:2000]!r}"
                ) from error
            took = time.perf_counter() - began
            slowest = max(slowest, took)
            if took > SLOW:
                raise Broken(
                    f"{reader.__name__}: {took:.1f} s: seed {seed}, input {number}: {raw[:2000]!r}"
                )
            if number == count // 4:
                gc.collect()
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        told(
            f"{reader.__name__}: {count} inputs, the slowest {slowest * 1000:.1f} ms, {after / 1024:.0f} MiB at the most"
        )
        if after > before * 1.5 + 20_000:
            raise Broken(
                f"{reader.__name__}: memory grew from {before} to {after} KiB over {count} inputs"
            )


def main() -> None:
    """INPUTS and SEED from the command line."""
    run(
        int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000,
        int(sys.argv[2]) if len(sys.argv) > 2 else 0,
        print,
    )


if __name__ == "__main__":
    main()
