"""The reason inside: whatever wraps it and however long that is, the same is named, and people see
the words that decide."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from msgspec import structs

from recovery.causes.case import LENGTH
from recovery.causes.catalogue import BY_NAME
from recovery.causes.diagnose import diagnose
from recovery.causes.envelope import essential, reason
from tests.causes.corpus import Sample, patient, samples

HERE = Path(__file__).parent
ENVELOPES = {
    "2.14": "rpc error: code = Unknown desc = {}",
    "2.14, cached": "rpc error: code = Unknown desc = Manifest generation error (cached): {}",
    "3.0": "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = {}",
    "3.0, of several sources": "Failed to load target state: failed to generate manifest for source 12 of 14: rpc error: code = Unknown desc = {}",
    "3.2, resources": "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = failed to initialize "
    "repository resources: rpc error: code = Internal desc = {}",
    "3.6, cached": "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = Manifest generation "
    "error (cached): {}",
}
"""How Argo CD wraps what its repo-server said, by version (controller/state.go:CompareAppState;
reposerver/repository/repository.go)."""
SYNCS = {
    "gave up": "Failed last sync attempt to [6d4b7b9d1f48ff36cf394b22fb27418662c11c35]: one or more objects failed to apply, reason: {} (retried 5 times).",
    "retrying": "one or more objects failed to apply, reason: {}. Retrying attempt #3 at 5:31AM.",
}
REPO_SERVER = (
    "ManifestError",
    "RevisionNotFound",
    "GitAuthFailed",
    "GitUnreachable",
    "SignatureInvalid",
    "RepoServerTransient",
)
COMPARED = [
    s
    for s in samples(HERE / "known.yaml")
    if s.where == "condition" and s.type == "ComparisonError" and s.cause in REPO_SERVER
]


def _named(sample: Sample) -> str:
    finding = diagnose(patient(sample))
    return finding.cause if finding else "nothing"


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_reason_is_named_the_same_in_every_envelope(envelope: str) -> None:
    confused: Counter[tuple[str, str]] = Counter()
    for sample in COMPARED:
        inner = re.sub(
            r"^(?:Failed to load target state: |failed to generate manifest for source \d+ of \d+: |rpc error: code = \w+ desc = )+",
            "",
            sample.message,
        )
        named = _named(structs.replace(sample, message=ENVELOPES[envelope].format(inner)))
        confused[sample.cause, named] += 1
    kept = (
        {(sample.cause, "ManifestErrorCached") for sample in COMPARED}
        if "cached" in envelope
        else set()
    )
    kept |= {
        ("RepoServerTransient", "Unclassified")
    }  # where the gRPC code alone tells it, and another was put in its place
    wrong = {
        pair: count for pair, count in confused.items() if pair[0] != pair[1] and pair not in kept
    }
    print(f"{envelope}: {dict(confused)}")

    assert wrong == {}, "precision before recall: another name costs more than none"
    assert (
        sum(count for (true, named), count in confused.items() if true == named) > len(COMPARED) / 2
    )


@pytest.mark.parametrize("envelope", SYNCS)
def test_why_an_object_was_not_applied_is_named_whatever_stands_around_it(envelope: str) -> None:
    wanted = [
        s
        for s in samples(HERE / "known.yaml")
        if s.where == "resource" and s.phase == "Failed" and s.cause != "Unclassified"
    ]
    wrong = {}
    for sample in wanted:
        whole = structs.replace(
            sample, where="operation", message=SYNCS[envelope].format(sample.message)
        )
        finding = diagnose(patient(whole))
        if finding is None or sample.cause not in (finding.cause, *finding.also, "Unclassified"):
            wrong[sample.id] = (sample.cause, finding.what if finding else "nothing")

    assert len(wrong) <= len(wanted) // 20, wrong


@pytest.mark.parametrize("filler", [400, 4_000, 12_000])
def test_what_stands_before_the_reason_hides_nothing(filler: int) -> None:
    command = f"`helm template . --name-template app --set values={'x' * filler} --include-crds` failed exit status 1: "
    words = "Error: chart requires kubeVersion: >= 1.24.0 <= 1.30 which is incompatible with Kubernetes v1.31.0"
    sample = Sample(
        "x",
        "",
        "ManifestError",
        "condition",
        ENVELOPES["3.0"].format(command + words),
        "ComparisonError",
    )
    finding = diagnose(patient(sample))

    assert finding is not None
    assert finding.cause == "ManifestError"
    assert "chart requires kubeVersion: >= 1.24.0 <= 1.30" in finding.evidence[0]
    assert len(finding.evidence[0]) <= LENGTH


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("plain words", "plain words"),
        ("rpc error: code = Unknown desc = failed to list refs: repository not found", "repository not found"),
        ("`kustomize build /tmp/x` failed exit status 1: Error: accumulating resources: no such file", "accumulating resources: no such file"),
        ("one or more objects failed to apply, reason: Service \"a\" is invalid: x (retried 5 times).", 'Service "a" is invalid: x'),
        ("rpc error: code = Unknown desc = ", "rpc error: code = Unknown desc ="),
        ("a: b: Error: ", "a: b: Error:"),
    ],
)  # fmt: skip
def test_the_innermost_reason(text: str, inner: str) -> None:
    assert reason(text) == inner


@pytest.mark.parametrize("longest", [60, 300, 1000])
def test_what_is_shown_is_never_longer_and_begins_with_where_it_was_seen_and_the_reason(
    longest: int,
) -> None:
    text = (
        "condition ComparisonError: " + "failed to do what was wanted: " * 50 + "the disk is full"
    )
    shown = essential(text, longest)

    assert len(shown) <= longest
    assert shown.startswith("condition ComparisonError: the disk is full")
    assert essential("short", longest) == "short"


NEVER = {
    ("GitAuthFailed", "HostKey"): r"\b(?:rotate|renew)\b.{0,40}credential",
    ("GitAuthFailed", "Certificate"): r"\b(?:rotate|renew)\b.{0,20}credential",
    ("ManifestError", "Plugin"): r"security|rotate|Git credential|sync\b",
    ("ManifestError", "Secrets"): r"security incident|signature|rotate|revert|committed it",
    ("RepoServerTransient", "Disk"): r"revert|commit|chart|sync\b|hard.refresh",
    ("RepoServerTransient", "Checkout"): r"revert|commit\b|sync\b|hard.refresh",
    ("RepoServerTransient", "TimedOut"): r"revert|commit\b|sync\b",
    ("DiffError", "HealthScript"): r"sync\b|roll ?back|fail ?over",
    ("ObjectInvalid", ""): r"sync again|restart|retry|argocd app sync",
    ("DependencyUnhealthy", ""): r"restart|roll(?:ing)? back|sync\b",
    ("DeletionStuck", ""): r"\bsync\b|auto-sync brings",
    ("AnalysisFailed", ""): r"restart|is down|argocd app (?:sync|rollback)",
    ("AnalysisError", ""): r"roll back|release is bad|restart",
    ("AnalysisInconclusive", ""): r"restart|roll back",
    ("RolloutProgressing", ""): r"restart the|roll back|argocd app sync",
    ("HookFailed", "Job"): r"argocd app sync|sync it again",
    ("SignatureInvalid", ""): r"disable the check|--force",
    ("OutOfMemory", ""): r"restart",
    ("Unschedulable", ""): r"restart|roll back",
}
"""Advice that would do harm, by what it must never say."""


@pytest.mark.parametrize(("cause", "variant"), NEVER)
def test_no_advice_does_harm(cause: str, variant: str) -> None:
    known = BY_NAME[cause]
    words = f"{known.advised(variant)} {known.notes.get(variant, '')}"

    assert not re.search(NEVER[cause, variant], words, re.IGNORECASE), words


@pytest.mark.parametrize("cause", BY_NAME.values(), ids=lambda c: c.name)
def test_advice_of_a_variant_is_of_one_that_is_told_of(cause: object) -> None:
    assert set(cause.advices) <= set(cause.notes)  # type: ignore[attr-defined]
    assert all(len(words) > 20 for words in cause.advices.values())  # type: ignore[attr-defined]
