"""Is each class recognised as what it is? Texts are Argo CD's own; how well it does on others is
scored in test_score."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.causes import error_patterns
from recovery.causes.case import DiagnosisInput
from recovery.causes.catalogue import BY_NAME, CAUSES
from recovery.causes.connections import of_connection
from recovery.causes.diagnose import RECOGNISERS, diagnose
from recovery.causes.remedy_matrix import objection, verdict
from recovery.model.application import (
    Application,
    Condition,
    Deploy,
    Health,
    Operation,
    Phase,
    Requested,
    Sync,
)
from recovery.model.cause import (
    Confidence,
    Diagnosis,
    NotifyWhen,
    Observations,
    Remedy,
    UnhealthyResource,
    Verdict,
)
from recovery.model.connection import Repository
from recovery.model.connection import Verdict as LookVerdict
from tests.builders import BAD, GOOD, NOW, a_cluster, an_application

TARGET = "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = "
LIVE = 'Failed to load live state: failed to get cluster info for "https://c": error synchronizing cache state : failed to sync cluster https://c: '


def says(kind: str, message: str, **more: Any) -> DiagnosisInput:
    """A condition."""
    return DiagnosisInput(
        an_application(
            **{
                "sync": Sync.Unknown,
                "conditions": (Condition(kind, message),),
                "operation": None,
                **more,
            }
        ),
        NOW,
    )


def failed(
    *failures: str,
    message: str = "one or more objects failed to apply",
    hooks: tuple[str, ...] = (),
    ran: tuple[str, ...] = (),
    signs: Observations | None = None,
) -> DiagnosisInput:
    """An operation that failed at what Git wants."""
    operation = Operation(
        Phase.Failed,
        message,
        NOW,
        NOW,
        (BAD,),
        automated=True,
        failures=failures,
        hooks=hooks,
        ran_failed=ran,
    )
    return DiagnosisInput(
        an_application(sync=Sync.OutOfSync, revisions=(BAD,), operation=operation), NOW, signs
    )


def running(
    message: str,
    *,
    age: float = 600,
    requested: bool = True,
    retry: bool = False,
    wants: str = BAD,
    **more: Any,
) -> DiagnosisInput:
    """An operation under way for ten minutes."""
    at = NOW - timedelta(seconds=age)
    operation = Operation(Phase.Running, message, at, NOW if retry else None, (BAD,), **more)
    asked = Requested() if requested else None
    return DiagnosisInput(
        an_application(
            sync=Sync.OutOfSync, revisions=(wants,), operation=operation, requested=asked
        ),
        NOW,
        still_since=at,
    )


def ill(
    *unwell: UnhealthyResource, health: Health = Health.Degraded, **more: Any
) -> DiagnosisInput:
    """Workloads that are not well."""
    return DiagnosisInput(
        an_application(**{"health": health, "health_since": NOW - timedelta(minutes=1), **more}),
        NOW,
        Observations(NOW, unwell),
    )


def pod(reason: str, message: str = "") -> UnhealthyResource:
    return UnhealthyResource("Pod", "cart-1", "shop", "", "Degraded", message, reason)


def drifts(**more: Any) -> DiagnosisInput:
    """Synced once, different now."""
    operation = Operation(
        Phase.Succeeded,
        "",
        NOW - timedelta(hours=1),
        NOW - timedelta(hours=1),
        (GOOD,),
        heals=more.pop("heals", 0),
    )
    return DiagnosisInput(
        an_application(
            **{
                "sync": Sync.OutOfSync,
                "operation": operation,
                "unsynced": ("ConfigMap/a",),
                "unsynced_count": 1,
                **more,
            }
        ),
        NOW,
    )


CRD = 'The Kubernetes API could not find shop.example/Widget for requested resource shop/w. Make sure the "Widget" CRD is installed on the destination cluster.'
ORPHAN = Operation(Phase.Succeeded, "", NOW - timedelta(hours=1), None, (GOOD,))

CASES = [
    ("C1", "", says("InvalidSpecError", "application destination server 'https://c' and namespace 'x' do not match any of the allowed destinations in project 'p'")),
    ("C1", "", says("InvalidSpecError", "Application referencing project nope which does not exist")),
    ("C1", "", says("UnknownError", "application 'a' in namespace 'team' is not permitted to use project 'default'")),
    ("C2", "", says("InvalidSpecError", "there are no clusters with this name: prod-9")),
    ("C2", "", failed(message="Failed to get destination cluster: there are no clusters with this name: x")),
    ("C3", "", says("ComparisonError", 'Failed to load target state: rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.3:8081: connect: connection refused"')),
    ("C3", "Redis", says("ComparisonError", "Failed to load target state: NOAUTH Authentication required.")),
    ("C4", "", says("ComparisonError", TARGET + 'failed to list refs: Get "https://git/x/info/refs": dial tcp 1.2.3.4:443: i/o timeout')),
    ("C4", "", says("ComparisonError", TARGET + "failed to list refs: unexpected requesting \"https://git/x\" status code: 429")),
    ("C5", "", says("ComparisonError", TARGET + "failed to list refs: authentication required")),
    ("C5", "", says("ComparisonError", TARGET + "`git fetch origin` failed exit status 128: git@git: Permission denied (publickey). fatal: Could not read from remote repository.")),
    ("C6", "", says("ComparisonError", TARGET + "unable to resolve 'v9' to a commit SHA")),
    ("C6", "", says("ComparisonError", TARGET + "deploy/prod: app path does not exist")),
    ("C7", "", says("ComparisonError", TARGET + "`helm template . --name-template cart` failed exit status 1: Error: parse error at (cart/templates/d.yaml:3): function \"inclde\" not defined")),
    ("C7", "", says("ComparisonError", TARGET + 'Failed to unmarshal "all.yaml": error converting YAML to JSON: yaml: line 4: mapping values are not allowed in this context')),
    ("C8", "", says("ComparisonError", TARGET + "Manifest generation error (cached): `kustomize build /x` failed exit status 1: dial tcp 1.2.3.4:443: connect: connection refused")),
    ("C7", "", says("ComparisonError", TARGET + 'Manifest generation error (cached): Failed to unmarshal "all.yaml": yaml: line 4')),
    ("C9", "", says("ComparisonError", "GnuPG verification of commit 41c failed: the signature is invalid")),
    ("C10", "", says("ComparisonError", LIVE + "dial tcp 10.0.0.1:6443: connect: no route to host")),
    ("C11", "", says("ComparisonError", LIVE + "the server has asked for the client to provide credentials")),
    ("C11", "", says("ComparisonError", LIVE + 'Get "https://c/version": x509: certificate has expired or is not yet valid')),
    ("C12", "", says("ComparisonError", LIVE + "failed to load initial state of resource Certificate.cert-manager.io: conversion webhook for cert-manager.io/v1, Kind=Certificate failed")),
    ("C13", "", says("ComparisonError", "Failed to compare desired state to live state: failed to calculate diff: error building typed value from live resource: .spec.x: field not declared in schema")),
    ("C14", "", failed(message="one or more objects failed to apply, reason: etcdserver: request timed out")),
    ("C14", "Terminated", failed(message="Operation terminated")),
    ("C15", "", says("SyncError", "Skipping sync attempt to 41c: auto-sync will wipe out all resources", sync=Sync.OutOfSync)),
    ("C16", "", failed(f"Widget/w: {CRD}", message="one or more synchronization tasks are not valid")),
    ("C16", "Absent", failed(f"Widget/w: {CRD}", signs=Observations(NOW, served={"shop.example/Widget": False}))),
    ("C16", "Established", failed(f"Widget/w: {CRD}", signs=Observations(NOW, served={"shop.example/Widget": True}))),
    ("C16", "Absent", failed('Cog/c: Cog.shop.example "" not found', signs=Observations(NOW, served={"shop.example/Cog": False}))),
    ("C17", "", failed('ConfigMap/big: ConfigMap "big" is invalid: metadata.annotations: Too long: must have at most 262144 bytes')),
    ("C18", "", failed('Deployment/a: Deployment.apps "a" is invalid: spec.selector: Invalid value: {}: field is immutable')),
    ("C18", "", failed("StatefulSet/db: updates to statefulset spec for fields other than 'replicas' are forbidden")),
    ("C19", "", failed('Pod/a: admission webhook "policy.example" denied the request: images must be signed')),
    ("C20", "", failed('Pod/a: Internal error occurred: failed calling webhook "policy.example": no endpoints available for service "policy"')),
    ("C21", "", failed('ConfigMap/a: configmaps "a" is forbidden: exceeded quota: team, requested: count/configmaps=1')),
    ("C22", "", failed('ConfigMap/a: configmaps is forbidden: User "system:serviceaccount:argocd:x" cannot create resource "configmaps"')),
    ("C22", "", failed("ClusterRole/a: resource rbac.authorization.k8s.io:ClusterRole is not permitted in project shop")),
    ("C23", "", failed('ConfigMap/a: namespaces "shop" not found')),
    ("C24", "", failed('Deployment/a: Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas')),
    ("C25", "Hung", running("waiting for completion of hook batch/Job/warm-up")),
    ("C25", "", failed("Job/warm-up: Job has reached the specified backoff limit", hooks=("PreSync Job/warm-up Failed",))),
    ("C25", "Migration", failed("Job/db-migrate: Job has reached the specified backoff limit", hooks=("PreSync Job/db-migrate Failed",))),
    ("C26", "", running("waiting for healthy state of apps/Deployment/db and 2 more resources")),
    ("C27", "", running("Sync operation blocked by sync window")),
    ("C27", "", running("waiting for pruning confirmation of Namespace/old")),
    ("C28", "", running("one or more objects failed to apply. Retrying attempt #2 at 5:31AM.", retry=True)),
    ("C28", "NewerRevision", running("one or more objects failed to apply. Retrying attempt #2 at 5:31AM.", retry=True, wants="c" * 40)),
    ("C16", "", running("tasks are not valid. Retrying attempt #2 at 5:31AM.", retry=True, failures=(f"Widget/w: {CRD}",))),
    ("C29", "NoEnd", DiagnosisInput(an_application(operation=ORPHAN), NOW)),
    ("C29", "NotAsked", running("waiting for completion of hook batch/Job/x", requested=False)),
    ("C29", "ControllerGone", DiagnosisInput(running("applying").app, NOW, frozen="not compared for 2h")),
    ("C29", "TimedOut", failed(message="Operation terminated, triggered by controller sync timeout")),
    ("C30", "", ill(UnhealthyResource("Deployment", "cart", health="Degraded", message='Deployment "cart" exceeded its progress deadline'))),
    ("C30", "", ill(pod("CrashLoopBackOff", "back-off 5m0s restarting failed container=main"))),
    ("C31", "NotFound", ill(pod("ImagePullBackOff", 'Back-off pulling image "r/x:v9": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "r/x:v9": not found'), health=Health.Progressing)),
    ("C31", "Auth", ill(pod("ErrImagePull", 'failed to pull image "r/x": pull access denied, repository does not exist or may require authorization'))),
    ("C31", "Registry", ill(pod("ErrImagePull", 'failed to pull image "r/x": failed to do request: dial tcp: lookup r on 10.0.0.10:53: no such host'))),
    ("C31", "", ill(pod("ImagePullBackOff", 'Back-off pulling image "r/x"'))),
    ("C32", "", ill(pod("CreateContainerConfigError", 'secret "db" not found'))),
    ("C33", "", ill(pod("Unschedulable", "0/3 nodes are available: 3 Insufficient memory."), health=Health.Progressing)),
    ("C33", "", ill(UnhealthyResource("PersistentVolumeClaim", "data", health="Progressing"), health=Health.Progressing)),
    ("C34", "", ill(pod("CrashLoopBackOff", "back-off"), pod("OOMKilled", "container main ended with exit code 137"))),
    ("C35", "", DiagnosisInput(an_application(health=Health.Degraded, health_since=NOW, deploy=None), NOW, storm="40 of 60 applications of cluster x")),
    ("C36", "", ill(UnhealthyResource("StatefulSet", "db", health="Progressing", message="Waiting for 1 pods to be ready..."), health=Health.Progressing, health_since=NOW - timedelta(hours=1))),
    ("C37", "", DiagnosisInput(an_application(health=Health.Suspended), NOW)),
    ("C38", "", DiagnosisInput(an_application(sync=Sync.OutOfSync, health=Health.Missing, operation=None), NOW)),
    ("C39", "Shared", drifts(conditions=(Condition("SharedResourceWarning", "ConfigMap/a is part of applications argocd/x and argocd/y"),))),
    ("C39", "Heals", drifts(heals=7)),
    ("C39", "Rollouts", drifts(revisions=(GOOD,), deploy=Deploy(1, (GOOD,), NOW), kinds=("Rollout", "Service"), health=Health.Progressing, unsynced=("Service/cart-stable", "VirtualService/cart"), unsynced_count=2)),
    ("C41", "", drifts(revisions=(GOOD,), deploy=Deploy(1, (GOOD,), NOW), kinds=("Rollout",), unsynced=("Service/a", "ConfigMap/b"), unsynced_count=2)),
    ("C40", "", drifts(prunable=1)),
    ("C41", "", drifts()),
    ("C42", "", says("DeletionError", "Unable to delete application resources: connection refused", deleting=True)),
    ("C43", "", DiagnosisInput(an_application(), NOW, frozen="it was last compared 57h ago, and should be every 3m")),
    ("C44", "", DiagnosisInput(an_application(conditions=(Condition("OrphanedResourceWarning", "Application has 2 orphaned resources"),)), NOW)),
    ("C3", "Disk", says("ComparisonError", TARGET + "error untarring chart: write /tmp/x/values.yaml: no space left on device")),
    ("C3", "Disk", says("ComparisonError", TARGET + "mkdir /tmp/_argocd-repo: read-only file system")),
    ("C3", "Checkout", says("ComparisonError", TARGET + "`git checkout --force 41c` failed exit status 128: fatal: Unable to create '/tmp/_argocd-repo/1/.git/index.lock': File exists.")),
    ("C3", "TimedOut", says("ComparisonError", TARGET + "`kustomize build /tmp/x` failed timeout after 1m30s")),
    ("C3", "TooLarge", says("ComparisonError", TARGET + "grpc: received message larger than max (105113943 vs. 104857600)")),
    ("C5", "HostKey", says("ComparisonError", TARGET + "failed to list refs: ssh: handshake failed: knownhosts: key mismatch")),
    ("C5", "Certificate", says("ComparisonError", TARGET + 'failed to list refs: Get "https://git/x": x509: certificate signed by unknown authority')),
    ("C5", "", says("ComparisonError", TARGET + 'failed to list refs: unexpected client error: unexpected requesting "https://dev.azure.com/o/p/_git/r/info/refs" status code: 302')),
    ("C5", "", says("ComparisonError", TARGET + "failed to list refs: unknown error: remote: TF401019: The Git repository with name or identifier x does not exist or you do not have permissions")),
    ("C5", "", says("ComparisonError", TARGET + "failed to list refs: unable to access 'https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/x/': SignatureDoesNotMatch")),
    ("C6", "", says("ComparisonError", TARGET + "`git fetch origin 41c` failed exit status 128: fatal: remote error: upload-pack: not our ref 41c")),
    ("C7", "Plugin", says("ComparisonError", TARGET + "plugin sidecar failed. error generating manifests in cmp: rpc error: code = Unknown desc = exit status 1: unauthorized: authentication required")),
    ("C7", "Secrets", says("ComparisonError", TARGET + "`helm template .` failed exit status 1: Failed to get the data key required to decrypt the SOPS file.")),
    ("C7", "", says("ComparisonError", TARGET + "`helm template . --name-template sops-secrets-operator` failed exit status 1: Error: chart requires kubeVersion: <1.30.0")),
    ("C13", "HealthScript", says("ComparisonError", "<string>:6: attempt to index a non-table object(nil) with key 'status' stack traceback: <string>:6: in main chunk [G]: ?")),
    ("C25", "Job", failed(message="one or more synchronization tasks completed unsuccessfully", ran=("Job/early: Job has reached the specified backoff limit",))),
    ("C25", "Migration", failed(message="one or more synchronization tasks completed unsuccessfully", ran=("Job/db-migrate: Job has reached the specified backoff limit",))),
    ("C33", "", ill(UnhealthyResource("Pod", "cart-1", "shop", "", "Progressing", "", "PendingWithoutNode", NOW - timedelta(hours=1)), UnhealthyResource("Deployment", "cart", health="Degraded", message='Deployment "cart" exceeded its progress deadline'))),
    ("C30", "", ill(UnhealthyResource("Pod", "cart-1", "shop", "", "Progressing", "", "PendingWithoutNode", NOW), UnhealthyResource("Deployment", "cart", health="Degraded", message='Deployment "cart" exceeded its progress deadline'))),
    ("C42", "", DiagnosisInput(an_application(deleting=True, deleting_since=NOW - timedelta(hours=2), sync=Sync.OutOfSync, health=Health.Missing), NOW)),
    ("C46", "", failed('Service/a: Service "a" is invalid: spec.ports[0].nodePort: Invalid value: 32801: provided port is not in the valid range')),
    ("C46", "", failed('CronJob/a: error validating data: ValidationError(CronJob.spec): unknown field "name" in io.k8s.api.core.v1.VolumeProjection')),
    ("C46", "Taken", failed('Service/a: Service "a" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated')),
    ("C46", "Taken", failed('ClusterRole/a: clusterroles.rbac.authorization.k8s.io "a" already exists')),
    ("C46", "", failed('ConfigMap/a: resourceVersion should not be set on objects to be created')),
    ("C46", "", failed('Deployment/a: failed to create typed patch object (shop/a; apps/v1, Kind=Deployment): .spec.template.spec.foo: field not declared in schema')),
    ("C46", "", failed('PersistentVolumeClaim/a: persistentvolumeclaims "a" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize')),
    ("C47", "", ill(UnhealthyResource("ExternalSecret", "db", "shop", "external-secrets.io", "Degraded", "could not get secret data from provider"))),
    ("C47", "", ill(UnhealthyResource("Certificate", "tls", "shop", "cert-manager.io", "Degraded", "Issuing certificate as Secret does not exist: DoesNotExist"))),
    ("C47", "", failed(message="one or more synchronization tasks completed unsuccessfully", ran=("Certificate/migrate-tls: Failed to create Order",))),
    ("C48", "", ill(UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", "Degraded", 'RolloutAborted: Rollout aborted update to revision 4: Metric "errors" assessed Failed due to failed (1) > failureLimit (0)'))),
    ("C49", "", ill(UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", "Degraded", 'RolloutAborted: Rollout aborted update to revision 4: Metric "errors" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): dial tcp: no such host'))),
    ("C50", "", ill(UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", "Suspended", "InconclusiveAnalysisRun"), health=Health.Suspended)),
    ("C51", "", ill(UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", "Degraded", 'InvalidSpec: The Rollout "cart" is invalid: spec.strategy.canary.steps[0]: Invalid value'))),
    ("C52", "", ill(UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", "Progressing", "more replicas need to be updated"), health=Health.Progressing, health_since=NOW - timedelta(hours=3))),
    ("C53", "", ill(UnhealthyResource("Rollout", "cart", "shop", "argoproj.io", "Degraded", "RolloutAborted: Rollout aborted update to revision 2"))),
    ("C14", "", failed('Deployment/a: error validating "/dev/shm/1": error validating data: failed to download openapi: Get "https://10.96.0.1/openapi/v2": dial tcp 10.96.0.1:443: i/o timeout')),
    ("C14", "", failed('Job/migrate: object is being deleted: jobs.batch "migrate" already exists')),
    ("C22", "", failed("Deployment/a: error validating data: the server has asked for the client to provide credentials")),
    ("C25", "Migration", failed('Job/db-migrate: Job.batch "db-migrate" is invalid: spec.foo: Required value', hooks=("PreSync Job/db-migrate Failed",))),
    ("C48", "", failed(message="one or more synchronization tasks completed unsuccessfully", ran=('Rollout/cart: Rollout aborted update to revision 2: Metric "m" assessed Failed due to failed (4)',))),
    ("C4", "", says("ComparisonError", TARGET + '`helm dependency build` failed exit status 1: Error: Get "https://helm.redis.io/index.yaml": dial tcp: lookup helm.redis.io on 10.96.0.10:53: no such host')),
    ("C3", "Redis", says("ComparisonError", TARGET + "dial tcp: lookup argocd-redis-ha-haproxy on 10.96.0.10:53: no such host")),
    ("C36", "", ill(UnhealthyResource("Deployment", "cart", "shop", "apps", "Progressing", "1 out of 3"), UnhealthyResource("ScaledObject", "x", "shop", "keda.sh", "Progressing", "wait"), health=Health.Progressing, health_since=NOW - timedelta(hours=1))),
    ("C45", "", ill(UnhealthyResource("HorizontalPodAutoscaler", "cart", health="Degraded", message="the HPA was unable to compute the replica count"), UnhealthyResource("Certificate", "tls", health="Progressing", message="Issuing certificate"))),
    ("C38", "", DiagnosisInput(an_application(sync=Sync.OutOfSync, health=Health.Missing, operation=None, kinds=("Rollout", "Service"), unsynced=("Service/cart-stable",), unsynced_count=1), NOW)),
    ("C45", "", failed("Thing/x: the flux capacitor is not fluxing")),
    ("C45", "", says("UnknownError", "failed to impersonate: the moon is in the wrong house")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "variant", "patient"),
    CASES,
    ids=[f"{c}{'-' + v if v else ''}-{i}" for i, (c, v, _) in enumerate(CASES)],
)
def test_a_class_is_recognised(code: str, variant: str, patient: DiagnosisInput) -> None:
    finding = diagnose(patient)

    assert finding is not None
    assert (BY_NAME[finding.cause].code, finding.variant) == (code, variant), finding
    assert finding.evidence


def test_every_class_of_the_catalogue_has_a_case() -> None:
    assert (
        {cause.code for cause in CAUSES}
        == {f"C{n}" for n in range(1, 54)}
        == {code for code, _, _ in CASES}
    )


def test_every_variant_that_a_text_can_name_is_one_the_catalogue_knows_or_judges_like_the_class() -> (
    None
):
    named = {
        (line.cause, line.variant)
        for table in vars(error_patterns).values()
        if isinstance(table, error_patterns.PatternTable)
        for line in table._lines
    }

    assert {cause for cause, _ in named} <= set(BY_NAME)
    assert {
        (c, v) for c, v in named if v and v not in {**BY_NAME[c].variants, **BY_NAME[c].notes}
    } == {("DriftFight", "Shared")}


@pytest.mark.parametrize(
    "patient",
    [
        pytest.param(DiagnosisInput(an_application(), NOW), id="well"),
        pytest.param(
            DiagnosisInput(
                an_application(sync=Sync.OutOfSync, operation=None, revisions=(BAD,)), NOW
            ),
            id="out of sync and nothing failed",
        ),
        pytest.param(
            DiagnosisInput(an_application(health=Health.Degraded), NOW),
            id="degraded and nobody has looked closer",
        ),
        pytest.param(
            DiagnosisInput(an_application(health=Health.Progressing, health_since=NOW), NOW),
            id="just deployed",
        ),
        pytest.param(
            running("waiting for completion of hook batch/Job/x", age=5),
            id="a hook that runs for five seconds",
        ),
        pytest.param(
            failed(message="one or more synchronization tasks are not valid"),
            id="failed without a word why",
        ),
    ],
)
def test_what_says_nothing_has_no_cause(patient: DiagnosisInput) -> None:
    assert diagnose(patient) is None


def test_a_dead_cluster_is_reported_as_such_although_git_is_named_as_well() -> None:
    dead = LIVE + "dial tcp 10.0.0.1:6443: connect: connection refused"
    both = (
        Condition("ComparisonError", dead.replace("live", "target")),
        Condition("ComparisonError", dead),
    )

    finding = diagnose(DiagnosisInput(an_application(sync=Sync.Unknown, conditions=both), NOW))

    assert finding is not None
    assert finding.cause == "ClusterUnreachable"


def test_an_old_operations_words_do_not_explain_pods_that_crash_now() -> None:
    old = Operation(
        Phase.Failed,
        "x",
        NOW - timedelta(days=2),
        NOW - timedelta(days=2),
        (GOOD,),
        failures=(f"Widget/w: {CRD}",),
    )
    finding = diagnose(ill(pod("CrashLoopBackOff"), operation=old))

    assert finding is not None
    assert finding.cause == "RolloutFailed"


def test_a_sync_that_failed_and_pods_that_crash_are_both_told() -> None:
    patient = failed(f"Widget/w: {CRD}")
    sick = DiagnosisInput(
        Application(
            **{
                **{f: getattr(patient.app, f) for f in patient.app.__struct_fields__},
                "health": Health.Degraded,
            }
        ),
        NOW,
        Observations(NOW, (pod("CrashLoopBackOff"),)),
    )

    finding = diagnose(sick)

    assert finding is not None
    assert (finding.cause, finding.also) == ("MissingCRD", ("RolloutFailed",))


def test_of_several_failures_the_one_leads_that_allows_the_least() -> None:
    finding = diagnose(
        failed(f"Widget/w: {CRD}", 'Pod/a: admission webhook "p" denied the request: no')
    )

    assert finding is not None
    assert (finding.cause, finding.also) == ("AdmissionDenied", ("MissingCRD",))


@pytest.mark.parametrize(
    ("inner", "cause"),
    [
        ("`helm dependency build` failed exit status 1: Error: 401 Unauthorized", "GitAuthFailed"),
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            "RepoServerTransient",
        ),
        (
            "`kustomize build .` failed exit status 1: dial tcp 1.2.3.4:443: i/o timeout",
            "ManifestErrorCached",
        ),
    ],
)
def test_a_cached_error_does_not_make_a_hard_refresh_right_that_its_reason_forbids(
    inner: str, cause: str
) -> None:
    finding = diagnose(
        says("ComparisonError", f"{TARGET}Manifest generation error (cached): {inner}")
    )

    assert finding is not None
    assert finding.cause == cause
    assert verdict(finding, Remedy.hard_refresh) is (
        Verdict.once if cause == "ManifestErrorCached" else Verdict.forbidden
    )


def test_an_evicted_pod_is_a_matter_of_capacity() -> None:
    finding = diagnose(ill(pod("Evicted", "The node was low on resource: memory.")))

    assert finding is not None
    assert finding.cause == "Unschedulable"


def test_evidence_is_bounded() -> None:
    finding = diagnose(failed(*(f"Thing/{n}: {'?' * 1000}" for n in range(50))))

    assert finding is not None
    assert len(finding.evidence) <= 6
    assert all(len(line) <= 300 for line in finding.evidence)


WORDS = st.sampled_from(
    re.findall(r"[A-Za-z\"'#:. ]{4,40}", Path(error_patterns.__file__).read_text())
) | st.text(max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ComparisonError", "InvalidSpecError", "SyncError", "UnknownError", "OddError", "OddWarning"]), WORDS), max_size=3),
       st.sampled_from(Sync), st.sampled_from(Health), st.none() | st.tuples(st.sampled_from(Phase), WORDS, st.lists(WORDS, max_size=3)), WORDS)  # fmt: skip
def test_whatever_it_shows_there_is_an_answer_and_errors_never_go_unnamed(
    conditions: Any, sync: Sync, health: Health, operation: Any, words: str
) -> None:
    state = (
        Operation(operation[0], operation[1], NOW, None, (BAD,), failures=tuple(operation[2]))
        if operation
        else None
    )
    app = an_application(
        sync=sync,
        health=health,
        operation=state,
        conditions=tuple(Condition(k, m) for k, m in conditions),
    )

    finding = diagnose(
        DiagnosisInput(
            app,
            NOW,
            Observations(NOW, (UnhealthyResource("Pod", "x", health="Degraded", message=words),)),
        )
    )

    assert finding is None or finding.cause in BY_NAME
    if any(
        kind in ("ComparisonError", "InvalidSpecError", "UnknownError") for kind, _ in conditions
    ):
        assert finding is not None


def test_recognisers_are_asked_in_the_order_of_trust() -> None:
    names = [ask.__name__ for ask in RECOGNISERS]

    assert (
        names.index("deletion")
        < names.index("spec")
        < names.index("comparison")
        < names.index("failed")
        < names.index("workloads")
        < names.index("prune_only")
    )


# The matrix

WRONG = {
    "C1": "refresh sync rollback failover", "C2": "sync failover", "C3": "hard_refresh sync", "C4": "refresh rollback", "C5": "failover refresh",
    "C6": "hard_refresh sync", "C7": "sync hard_refresh", "C9": "sync refresh rollback", "C10": "sync rollback refresh", "C11": "failover restart",
    "C12": "failover", "C13": "sync rollback", "C15": "sync", "C16": "rollback forced_sync", "C18": "forced_sync", "C19": "sync", "C20": "rollback",
    "C21": "sync restart", "C23": "rollback", "C24": "forced_sync", "C26": "sync", "C27": "terminate sync", "C28": "terminate sync", "C30": "sync",
    "C31": "rollback restart", "C32": "rollback", "C33": "rollback failover", "C34": "restart", "C35": "rollback restart sync refresh", "C36": "sync rollback",
    "C37": "sync restart", "C38": "rollback", "C39": "sync", "C40": "sync", "C42": "sync terminate", "C43": "refresh sync restart rollback", "C45": "sync restart rollback refresh",
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(WRONG))
def test_what_makes_it_worse_is_forbidden(code: str) -> None:
    cause = next(c for c in CAUSES if c.code == code)

    assert {cure: cause.verdict(Remedy[cure]) for cure in WRONG[code].split()} == dict.fromkeys(
        WRONG[code].split(), Verdict.forbidden
    )


@pytest.mark.parametrize(
    ("cause", "variant", "cure", "expected"),
    [
        ("ImageUnavailable", "NotFound", Remedy.rollback, Verdict.allowed),
        ("ImageUnavailable", "Registry", Remedy.rollback, Verdict.forbidden),
        ("MissingCRD", "Absent", Remedy.sync, Verdict.useless),
        ("MissingCRD", "Established", Remedy.sync, Verdict.allowed),
        ("ManifestErrorCached", "", Remedy.hard_refresh, Verdict.once),
        ("HookFailed", "Hung", Remedy.terminate, Verdict.allowed),
        ("HookFailed", "Migration", Remedy.sync, Verdict.forbidden),
        ("RetryInProgress", "NewerRevision", Remedy.terminate, Verdict.allowed),
        ("OperationOrphaned", "NoEnd", Remedy.repair, Verdict.allowed),
        ("OperationOrphaned", "ControllerGone", Remedy.repair, Verdict.useless),
        ("AutoSyncGaveUp", "", Remedy.sync, Verdict.once),
        ("ClusterUnreachable", "", Remedy.failover, Verdict.allowed),
        ("OutOfMemory", "", Remedy.rollback, Verdict.allowed),
    ],
)
def test_a_variant_decides_on_the_cure(
    cause: str, variant: str, cure: Remedy, expected: Verdict
) -> None:
    assert BY_NAME[cause].verdict(cure, variant) is expected


def test_only_one_try_where_a_second_would_be_a_loop() -> None:
    finding = Diagnosis("AutoSyncGaveUp", ("seen",), Confidence.likely)

    assert objection(finding, Remedy.sync, 0) == ""
    assert "sync was tried already and did not fix" in objection(finding, Remedy.sync, 1)


def test_while_argo_cd_tries_again_nobody_gets_in_its_way_whatever_the_cause() -> None:
    retrying = Diagnosis("ImmutableField", (), Confidence.likely, also=("RetryInProgress",))

    assert verdict(retrying, Remedy.rollback) is Verdict.forbidden
    assert (
        verdict(Diagnosis("ImmutableField", (), Confidence.likely), Remedy.rollback)
        is Verdict.allowed
    )


def test_a_no_names_cause_evidence_and_what_to_do() -> None:
    words = objection(
        Diagnosis(
            "QuotaExceeded",
            ("resource ConfigMap/a: exceeded quota: team",),
            Confidence.likely,
            about="ConfigMap/a",
        ),
        Remedy.sync,
        0,
    )

    assert words.startswith("sync is forbidden for C21 QuotaExceeded (ConfigMap/a).")
    assert "exceeded quota: team" in words
    assert "ResourceQuota" in words


def test_what_somebody_wants_so_calls_nobody() -> None:
    assert {c.code for c in CAUSES if c.tells is NotifyWhen.never} == {"C28", "C37", "C40", "C44"}


@pytest.mark.parametrize("cause", CAUSES, ids=lambda c: c.code)
def test_every_entry_says_what_it_is_and_what_a_person_should_do(cause: Any) -> None:
    assert set(cause.matrix) == set(Remedy)
    assert cause.title.endswith(".")
    assert len(cause.advice) > 20


# Repositories and clusters


@pytest.mark.parametrize(
    ("about", "verdict", "cause"),
    [
        (a_cluster(), LookVerdict.unreachable, "ClusterUnreachable"),
        (a_cluster(), LookVerdict.credentials_refused, "ClusterCredentials"),
        (a_cluster(), LookVerdict.api_partial, "ClusterAPIPartial"),
        (Repository(url="https://git"), LookVerdict.unreachable, "GitUnreachable"),
        (Repository(url="https://git"), LookVerdict.rate_limited, "GitUnreachable"),
        (Repository(url="https://git"), LookVerdict.credentials_refused, "GitAuthFailed"),
        (Repository(url="https://git"), LookVerdict.reachable, None),
        (a_cluster(), None, None),
    ],
)
def test_a_connection_has_a_cause_as_well(about: Any, verdict: Any, cause: str | None) -> None:
    finding = of_connection(about, verdict)

    assert (finding.cause if finding else None) == cause
