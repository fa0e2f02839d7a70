"""Fields read of Argo CD's objects, as the wire has it: what is not named here is skipped without
becoming an object."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field


class Owner(Struct, rename="camel", gc=False):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Meta(Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None
    finalizers: list[str] | None = None
    owner_references: list[Owner] | None = None


class Source(Struct, rename={"repo_url": "repoURL"}, gc=False):
    repo_url: str = ""
    chart: str = ""


class Destination(Struct, gc=False):
    server: str | None = None
    name: str | None = None
    namespace: str | None = None


class Automated(Struct, rename="camel", gc=False):
    prune: bool | None = None
    self_heal: bool | None = None
    allow_empty: bool | None = None
    enabled: bool | None = None


class SyncPolicy(Struct):
    automated: Automated | None = None


class Spec(Struct, rename="camel"):
    project: str = ""
    source: Source | None = None
    sources: list[Source] | None = None
    destination: Destination = field(default_factory=Destination)
    sync_policy: SyncPolicy | None = None


class ComparedTo(Struct):
    source: msgspec.Raw = msgspec.Raw(b"")
    sources: msgspec.Raw = msgspec.Raw(b"")


class SyncStatus(Struct, rename="camel"):
    status: str = ""
    revision: str | None = None
    revisions: list[str] | None = None
    compared_to: ComparedTo | None = None


class HealthStatus(Struct, rename="camel", gc=False):
    status: str = ""
    message: str = ""
    last_transition_time: str | None = None


class Condition(Struct, rename="camel", gc=False):
    type: str = ""
    message: str = ""
    last_transition_time: str | None = None


class Info(Struct, gc=False):
    name: str = ""
    value: str = ""


class InitiatedBy(Struct, gc=False):
    username: str | None = None
    automated: bool | None = None


class Sync(Struct, rename="camel", gc=False):
    auto_heal_attempts_count: int | None = None
    dry_run: bool | None = None
    resources: msgspec.Raw = msgspec.Raw(b"")


class Operation(Struct, rename="camel"):
    info: list[Info] | None = None
    sync: Sync | None = None
    initiated_by: InitiatedBy | None = None


class ResultResource(Struct, rename="camel", gc=False):
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    hook_phase: str = ""
    hook_type: str = ""
    message: str = ""


class SyncResult(Struct):
    revision: str | None = None
    revisions: list[str] | None = None
    source: msgspec.Raw = msgspec.Raw(b"")
    sources: msgspec.Raw = msgspec.Raw(b"")
    resources: list[ResultResource] | None = None


class OperationState(Struct, rename="camel"):
    operation: Operation | None = None
    phase: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    sync_result: SyncResult | None = None


class History(Struct, rename="camel"):
    id: int = 0
    revision: str | None = None
    revisions: list[str] | None = None
    source: msgspec.Raw = msgspec.Raw(b"")
    sources: msgspec.Raw = msgspec.Raw(b"")
    deployed_at: str | None = None
    deploy_started_at: str | None = None


class Resource(Struct, rename="camel", gc=False):
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    requires_pruning: bool = False
    health: HealthStatus | None = None


class Summary(Struct, gc=False):
    images: list[str] | None = None


class Status(Struct, rename="camel"):
    sync: SyncStatus | None = None
    health: HealthStatus | None = None
    conditions: list[Condition] | None = None
    operation_state: OperationState | None = None
    history: list[History] | None = None
    resources: list[Resource] | None = None
    summary: Summary | None = None
    reconciled_at: str | None = None


class Application(Struct):
    metadata: Meta
    spec: Spec = field(default_factory=Spec)
    status: Status | None = None
    operation: Operation | None = None


class Window(Struct, rename="camel"):
    kind: str = ""
    schedule: str = ""
    duration: str = ""
    applications: list[str] | None = None
    namespaces: list[str] | None = None
    clusters: list[str] | None = None
    time_zone: str = ""
    and_operator: bool | None = None


class ProjectSpec(Struct, rename="camel"):
    destinations: list[Destination] | None = None
    source_namespaces: list[str] | None = None
    sync_windows: list[Window] | None = None


class Project(Struct):
    metadata: Meta
    spec: ProjectSpec = field(default_factory=ProjectSpec)


class Ignore(Struct, rename="camel"):
    json_pointers: list[str] | None = None
    jq_path_expressions: list[str] | None = None
    name: str = ""


class Strategy(Struct):
    type: str = ""


class SetPolicy(Struct, rename="camel"):
    applications_sync: str = ""


class TemplateMeta(Struct):
    name: str = ""


class Template(Struct):
    metadata: TemplateMeta = field(default_factory=TemplateMeta)


class SetSpec(Struct, rename="camel"):
    generators: msgspec.Raw = msgspec.Raw(b"null")
    template: Template = field(default_factory=Template)
    strategy: Strategy | None = None
    sync_policy: SetPolicy | None = None
    ignore_application_differences: list[Ignore] | None = None


class ApplicationSet(Struct):
    metadata: Meta
    spec: SetSpec = field(default_factory=SetSpec)
