"""recovery doctor: is everything there that the controller needs, before and after it is
installed?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import msgspec
import typer
from msgspec import Struct

from recovery import __version__
from recovery.act.registry import POLICY_ACTIONS
from recovery.commands.client import ask_controller, reach
from recovery.commands.columns import Column, lines, width
from recovery.commands.errors import WRONG, Shape
from recovery.commands.output import Output, printed
from recovery.commands.run import settings_from_environment
from recovery.decide.routing import named_channels
from recovery.kube.asyncio_client import AsyncioClient
from recovery.kube.client import ACCESS_REVIEWS, APPLICATIONS, CONFIG_MAPS, RECOVERIES, SECRETS
from recovery.kube.errors import Forbidden, KubeError, NotFound
from recovery.kube.reading import decoded
from recovery.model.policy import Policies
from recovery.model.redact import redact
from recovery.model.text import plain, shell
from recovery.policies import InvalidPolicies, parse
from recovery.settings import Settings

OK, WARN, FAIL = "ok", "warning", "error"
ACCOUNT = "gitops-recovery-controller"
OLDEST = (1, 28)
"""Kubernetes; admission policies are served from 1.30 on, and left out before."""
RIGHTS: tuple[tuple[str, str, str, tuple[str, ...], str], ...] = (
    (
        "ours",
        "recovery.gitops.dev",
        "recoveries",
        ("list", "watch", "create", "update", "delete"),
        "",
    ),
    ("ours", "recovery.gitops.dev", "recoveries/status", ("update",), ""),
    ("ours", "", "configmaps", ("list", "watch", "create", "update", "patch"), ""),
    ("ours", "", "secrets", ("get",), "recovery-channels"),
    ("ours", "events.k8s.io", "events", ("create",), ""),
    ("argocd", "argoproj.io", "applications", ("get", "list", "watch", "patch"), ""),
    ("argocd", "argoproj.io", "appprojects", ("list", "watch"), ""),
    ("argocd", "argoproj.io", "applicationsets", ("list", "watch"), ""),
    ("argocd", "", "configmaps", ("get",), "argocd-cm"),
    ("argocd", "apps", "statefulsets", ("list",), ""),
    ("argocd", "apps", "deployments", ("list",), ""),
    ("argocd", "events.k8s.io", "events", ("create",), ""),
    ("argocd", "coordination.k8s.io", "leases", ("list", "create", "update", "delete"), ""),
)
"""What manifests/base gives the controller's account: where, group, resource, verbs, and the one
name it is for."""


class Found(Struct, frozen=True):
    """Result of one check: state, message and fix."""

    check: str
    state: str
    """ok, warning or error"""
    message: str
    fix: str = ""


Check = Callable[[AsyncioClient, Settings], AsyncIterator[Found]]


def doctor(output: Output = Shape.table) -> None:
    """Check the installation.

    The cluster, Argo CD, the CRD, rights, policies, channels, and the controller itself."""
    settings = settings_from_environment()
    found = reach(lambda client: _examined(client, settings))
    if output.for_scripts:
        printed(found, output)
    else:
        rows = [(each.state, each.check, each.message) for each in found]
        for line in lines(
            (Column("STATE"), Column("CHECK"), Column("FOUND", words=True)), rows, width()
        ):
            typer.echo(line)
        for each in found:
            if each.fix:
                typer.echo(f"\n{each.check}: {plain(each.message)}\n  Try: {plain(each.fix)}")
    if any(each.state == FAIL for each in found):
        raise typer.Exit(WRONG)


async def _examined(client: AsyncioClient, settings: Settings) -> list[Found]:
    found: list[Found] = []
    for name, check in CHECKS:
        try:
            found += [each async for each in check(client, settings)]
        except (KubeError, msgspec.DecodeError) as error:
            state = WARN if isinstance(error, Forbidden) else FAIL
            found.append(Found(name, state, f"cannot be asked: {redact(str(error), 200)}"))
    return found


async def _kubernetes(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:  # noqa: ARG001 (a Check)
    body: dict[str, Any] = decoded(await client.raw("/version"), dict)
    digits = ["".join(filter(str.isdigit, str(body.get(part, "")))) for part in ("major", "minor")]
    version = tuple(int(each or 0) for each in digits)
    old = version < OLDEST
    words = f"{body.get('gitVersion', 'unknown')}" + (
        f"; {'.'.join(map(str, OLDEST))} or newer is needed" if old else ""
    )
    yield Found("kubernetes", FAIL if old else OK, words)


async def _argocd(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:
    try:
        body: dict[str, Any] = decoded(
            await client.list(APPLICATIONS, settings.argocd_namespace, limit="1"), dict
        )
    except NotFound:
        fix = "install Argo CD, or set ARGOCD_NAMESPACE"
        yield Found(
            "argocd", FAIL, "the cluster serves no Applications (argoproj.io/v1alpha1)", fix
        )
        return
    count = len(body.get("items") or ()) + int(
        (body.get("metadata") or {}).get("remainingItemCount") or 0
    )
    if count:
        yield Found("argocd", OK, f"{count} applications in namespace {settings.argocd_namespace}")
    else:
        fix = "set ARGOCD_NAMESPACE, or ARGOCD_APPLICATION_NAMESPACES, to where they are"
        yield Found("argocd", WARN, f"no application in namespace {settings.argocd_namespace}", fix)


async def _crd(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:
    try:
        await client.list(RECOVERIES, settings.namespace, limit="1")
    except NotFound:
        yield Found(
            "crd",
            FAIL,
            "the cluster serves no Recoveries (recovery.gitops.dev/v1alpha2)",
            "kubectl apply -f manifests/crds/",
        )
    else:
        yield Found("crd", OK, "recoveries.recovery.gitops.dev is served")


async def _rights(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:
    lacking, places = [], {"ours": settings.namespace, "argocd": settings.argocd_namespace}
    for where, group, resource, verbs, name in RIGHTS:
        for verb in verbs:
            asked = {
                "namespace": places[where],
                "verb": verb,
                "group": group,
                "resource": resource.partition("/")[0],
                "subresource": resource.partition("/")[2],
                **({"name": name} if name else {}),
            }
            spec = {
                "user": f"system:serviceaccount:{settings.namespace}:{ACCOUNT}",
                "groups": [
                    "system:serviceaccounts",
                    f"system:serviceaccounts:{settings.namespace}",
                    "system:authenticated",
                ],
                "resourceAttributes": asked,
            }
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": spec,
            }
            answer: dict[str, Any] = decoded(await client.create(ACCESS_REVIEWS, "", body), dict)
            if not (answer.get("status") or {}).get("allowed"):
                lacking.append(f"{verb} {resource}{'/' + name if name else ''} in {places[where]}")
    if lacking:
        fix = "kubectl apply -k manifests/base, or the chart with the same namespaces"
        yield Found(
            "rights",
            FAIL,
            f"the controller's account lacks {len(lacking)}: {', '.join(lacking[:5])}",
            fix,
        )
    else:
        yield Found(
            "rights", OK, f"{ACCOUNT} in {settings.namespace} may do all that manifests/base grants"
        )


async def _policies(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:
    try:
        rules = await _in_force(client, settings)
    except NotFound:
        create = (
            f"kubectl -n {shell(settings.namespace)} create configmap {shell(settings.policies)}"
        )
        fix = f"{create} --from-file=policies.yaml=config/policies.yaml"
        yield Found(
            "policies",
            FAIL,
            f"there is no ConfigMap {settings.policies} in {settings.namespace}",
            fix,
        )
        return
    except InvalidPolicies as error:
        yield Found(
            "policies",
            FAIL,
            str(error).splitlines()[0],
            f"recovery check, with the text of ConfigMap {settings.policies}",
        )
        return
    yield Found("policies", OK, f"{len(rules.policies)} policies, {len(rules.warnings)} warnings")
    for warning in rules.warnings:
        yield Found("policies", WARN, warning)


async def _in_force(client: AsyncioClient, settings: Settings) -> Policies:
    return parse(
        await client.get(CONFIG_MAPS, settings.namespace, settings.policies), POLICY_ACTIONS
    )


async def _channels(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:
    try:
        secret: dict[str, Any] = decoded(
            await client.get(SECRETS, settings.namespace, settings.channels), dict
        )
    except NotFound:
        fix = "create it as the README's Channels says; then recovery notify --test CHANNEL"
        yield Found(
            "channels",
            WARN,
            f"there is no Secret {settings.channels}: no notification is sent",
            fix,
        )
        return
    there = frozenset(secret.get("data") or {})
    with suppress(NotFound, InvalidPolicies):
        missing = sorted(named_channels(await _in_force(client, settings)).keys() - there)
        if missing:
            words = (
                f"named in the policies, and not in the Secret: {', '.join(missing)}; the"
                " default channels are used instead"
            )
            yield Found(
                "channels",
                WARN,
                words,
                f"add them to the Secret {settings.channels}, or mend the policies",
            )
    yield Found(
        "channels",
        OK if there else WARN,
        f"the Secret {settings.channels} has {', '.join(sorted(there)) or 'none'}",
    )


async def _controller(client: AsyncioClient, settings: Settings) -> AsyncIterator[Found]:
    try:
        body: dict[str, Any] = decoded(
            await ask_controller(client, settings.namespace, "/api/v1/recoveries"), dict
        )
    except KubeError as error:
        fix = (
            f"kubectl -n {shell(settings.namespace)} get pods, or install it: kubectl apply -k"
            " manifests/base"
        )
        yield Found("controller", FAIL, f"it does not answer: {redact(str(error), 160)}", fix)
        return
    version = str(body.get("version") or "older than 0.2.0")
    yield Found(
        "controller",
        OK if version == __version__ else WARN,
        f"version {version}, this command {__version__}",
    )
    for reason in body.get("reasons") or ():
        yield Found("controller", FAIL, f"not ready: {reason}")
    if body.get("enabled") is False:
        yield Found("controller", WARN, "RECOVERY_ENABLED is false: it only observes")
    trouble = (body.get("replica") or {}).get("trouble")
    if trouble:
        yield Found("controller", FAIL, f"it does not act: {trouble}")
    for lane in body.get("channels") or ():
        if lane.get("why"):
            words = f"channel {lane['channel']} is not reachable: {lane['why']}"
            yield Found(
                "controller", FAIL, words, f"recovery notify --test {shell(lane['channel'])}"
            )


CHECKS: tuple[tuple[str, Check], ...] = (
    ("kubernetes", _kubernetes),
    ("argocd", _argocd),
    ("crd", _crd),
    ("rights", _rights),
    ("policies", _policies),
    ("channels", _channels),
    ("controller", _controller),
)
