"""Every cause: what it is, which cures it leaves, what a person should do. Data, and nothing but
data.

A cure that a line does not name is useless there: it cannot help.
"""

from __future__ import annotations

from collections.abc import Mapping

from recovery.model.cause import Cause, NotifyWhen, Remedy, Verdict

_ALL = "refresh, hard refresh, sync, forced sync, terminate, repair, restart, rollback, failover"


def _cures(allow: str, once: str, forbid: str) -> dict[Remedy, Verdict]:
    written = {Verdict.allowed: allow, Verdict.once: once, Verdict.forbidden: forbid}
    return {
        Remedy(name.strip()): verdict
        for verdict, names in written.items()
        for name in names.split(",")
        if name.strip()
    }


def _cause(
    code: str,
    name: str,
    title: str,
    advice: str,
    *,
    allow: str = "",
    once: str = "",
    forbid: str = "",
    tells: NotifyWhen = NotifyWhen.at_once,
    variants: Mapping[str, dict[Remedy, Verdict]] | None = None,
    notes: Mapping[str, str] | None = None,
    advices: Mapping[str, str] | None = None,
    loudest: str = "critical",
) -> Cause:
    matrix = dict.fromkeys(Remedy, Verdict.useless) | _cures(allow, once, forbid)
    return Cause(
        code,
        name,
        title,
        advice,
        matrix,
        dict(variants or {}),
        dict(notes or {}),
        tells,
        dict(advices or {}),
        loudest,
    )


def _variant(
    *, allow: str = "", once: str = "", forbid: str = "", useless: str = ""
) -> dict[Remedy, Verdict]:
    return _cures(allow, once, forbid) | {
        Remedy(name.strip()): Verdict.useless for name in useless.split(",") if name.strip()
    }


_TOUCHING = "sync, forced sync, restart, rollback, failover"

CAUSES: tuple[Cause, ...] = (
    _cause(
        "C1",
        "SpecNotPermitted",
        "The Application's own spec is not valid, or its project does not permit it.",
        "Whoever owns the application corrects spec.project, spec.source or spec.destination, or asks for the AppProject to permit it.",
        forbid=f"refresh, hard refresh, {_TOUCHING}",
    ),
    _cause(
        "C2",
        "DestinationUnknown",
        "Argo CD does not know the cluster this application is to run on.",
        "See whether the cluster's Secret (argocd.argoproj.io/secret-type=cluster) was deleted or renamed, and restore it.",
        forbid=_TOUCHING,
    ),
    _cause(
        "C3",
        "RepoServerTransient",
        "Argo CD did not reach its own repo-server, or its cache, or got no answer in time. The application is not at fault.",
        "Look at the argocd-repo-server (and redis) pods: running, restarted, out of memory, overloaded? It ends by itself when they work.",
        allow="refresh",
        forbid=f"hard refresh, {_TOUCHING}",
        variants={"Redis": _variant(useless="refresh")},
        notes={
            "Redis": "Argo CD's cache (redis) refuses its password or does not answer: this is no Git problem.",
            "Disk": "Its disk is full or cannot be written to.",
            "Checkout": "Its copy of the repository is locked or in disorder.",
            "TimedOut": "Rendering took longer than it may, or was killed.",
            "TooLarge": "What it renders, or answers, is larger than it may be.",
        },
        advices={
            "Disk": "Free or enlarge the disk of the argocd-repo-server pods (emptyDir limits, /tmp), or delete the pod: it starts with an empty one.",
            "Checkout": "Delete the argocd-repo-server pod that says so: it clones anew. It comes again? Look for a killed pod or a shared volume.",
            "TimedOut": "Give argocd-repo-server more CPU or memory, or time (ARGOCD_EXEC_TIMEOUT); remote bases and large charts take longest.",
            "TooLarge": "Raise the limit that the message names (ARGOCD_GRPC_MAX_SIZE_MB, reposerver.max.combined.directory.manifests.size), or split the application.",
        },
    ),
    _cause(
        "C4",
        "GitUnreachable",
        "The Git server, Helm or OCI registry cannot be reached, or turns us away for asking too often.",
        "Check the server's own status, DNS, proxies and rate limits from the repo-server. Applications are refreshed when it answers again.",
        forbid=f"refresh, hard refresh, {_TOUCHING}",
    ),
    _cause(
        "C5",
        "GitAuthFailed",
        "The Git server, Helm or OCI registry refuses Argo CD's credentials.",
        "Renew the credentials in the repository's Secret (argocd.argoproj.io/secret-type=repository or repo-creds), or what they may read; retrying may lock the account.",
        forbid=f"refresh, hard refresh, {_TOUCHING}",
        notes={
            "HostKey": "The server shows another SSH host key than the one that Argo CD knows.",
            "Certificate": "The server's certificate is not trusted, has expired, or is of another name.",
        },
        advices={
            "HostKey": "Compare the host key with what the host publishes; when it is theirs, put it into the ConfigMap argocd-ssh-known-hosts-cm. Leave the credentials as they are: they must not go to a host whose key does not match.",
            "Certificate": "Renew the server's certificate, or put its CA into the ConfigMap argocd-tls-certs-cm. The credentials are not at fault.",
        },
    ),
    _cause(
        "C6",
        "RevisionNotFound",
        "The branch, tag, chart version or path that the application names is not in its repository.",
        "Whoever owns it corrects spec.source.targetRevision, path or chart, or pushes what is missing.",
        once="refresh",
        forbid=f"hard refresh, {_TOUCHING}",
    ),
    _cause(
        "C7",
        "ManifestError",
        "The manifests of this revision cannot be rendered: invalid YAML, a template error, a failing helm, kustomize or plugin.",
        "Whoever committed it reads the output below and corrects it, or reverts the commit. What runs is not touched by it.",
        forbid="hard refresh, sync, forced sync, failover",
        notes={
            "Plugin": "A config management plugin says it, or what it asked: neither Git, nor the cluster, nor a signature is at fault.",
            "Secrets": "A secret could not be decrypted or read while rendering (SOPS, Vault, helm-secrets): a key, a login or a path is missing.",
        },
        advices={
            "Plugin": "Read what the plugin says below; whoever runs it mends it, or what it asks (a secret store, a registry, a script).",
            "Secrets": "Whoever runs the platform gives the repo-server's plugin its key or its login to the secret store, or corrects the path named below.",
        },
    ),
    _cause(
        "C8",
        "ManifestErrorCached",
        "Argo CD shows a rendering error from its cache: after 3 failures it stops trying for an hour, also when the cause is gone.",
        "When the cause is mended, one hard refresh shows the truth at once: argocd app get APP --hard-refresh.",
        once="hard refresh",
        forbid=_TOUCHING,
    ),
    _cause(
        "C9",
        "SignatureInvalid",
        "The revision is not signed as its project demands, or its integrity cannot be proven.",
        "Treat it as a security incident until the signature is explained. Do not bypass the check.",
        forbid=_ALL,
    ),
    _cause(
        "C10",
        "ClusterUnreachable",
        "Argo CD cannot reach the cluster this application runs on. What Argo CD shows of it is not to be trusted.",
        "This is one incident of the cluster, not of its applications: recovery explain cluster/NAME.",
        allow="failover",
        forbid="refresh, hard refresh, sync, forced sync, terminate, restart, rollback",
    ),
    _cause(
        "C11",
        "ClusterCredentials",
        "The cluster answers, and refuses Argo CD's credentials or certificate.",
        "Renew the credentials or the CA in the cluster's Secret. The workloads run on: moving them would be the outage.",
        forbid=_TOUCHING,
    ),
    _cause(
        "C12",
        "ClusterAPIPartial",
        "The cluster answers, but a part of its API does not: a conversion webhook, an aggregated API, or missing rights to list a kind.",
        "Mend the webhook, the APIService or Argo CD's rights named below, or exclude the kind (resource.exclusions in argocd-cm).",
        forbid="failover, rollback, restart",
    ),
    _cause(
        "C13",
        "DiffError",
        "Argo CD cannot compare what is wanted with what is there.",
        "Most often a field the schema does not know: upgrade the CRD, use ServerSideApply=true, or ignoreDifferences for the field below.",
        once="refresh",
        forbid=f"{_TOUCHING}",
        notes={
            "HealthScript": "A health or action script in argocd-cm (Lua) fails on an object: every application of that cluster may show it."
        },
        advices={
            "HealthScript": "Correct the script (resource.customizations.health... in argocd-cm): it has to take an object whose fields are missing or of another type."
        },
    ),
    _cause(
        "C14",
        "AutoSyncGaveUp",
        "Auto-sync tried this revision, failed for a passing reason, and will never try it again by itself.",
        "One sync, now that the reason is gone: argocd app sync APP.",
        allow="refresh",
        once="sync",
        forbid="forced sync, failover",
        variants={"Terminated": _variant(forbid="sync")},
        notes={
            "Terminated": "Somebody ended it: whether it is tried again is up to them.",
            "TerminatedByUs": "We ended it because its hook hung; it is tried once more.",
        },
    ),
    _cause(
        "C15",
        "WipeGuard",
        "Argo CD refused to sync because it would delete everything the application has.",
        "Check that the repository, path and branch really are meant to be empty: after a Git outage or a wrong path they are not. Do not sync with prune.",
        forbid=f"hard refresh, {_TOUCHING}",
    ),
    _cause(
        "C16",
        "MissingCRD",
        "The cluster does not know a kind that the application uses: its CRD is not installed there, or not in this version.",
        "Install the CRD (or the application that brings it). It is synced once the cluster serves the kind.",
        allow="",
        once="sync, refresh",
        forbid="forced sync, rollback, failover",
        variants={
            "Absent": _variant(useless="sync, refresh"),
            "Established": _variant(allow="sync, refresh"),
        },
        notes={
            "Absent": "The cluster does not serve it yet.",
            "Established": "The cluster serves it by now: one sync is all that is missing.",
        },
    ),
    _cause(
        "C17",
        "ObjectTooLarge",
        "An object is too large for the annotation in which client-side apply keeps a copy of it (262144 bytes), or for the API server.",
        "Set the sync option ServerSideApply=true for this resource. Do not strip the annotation or replace the object blindly.",
        forbid="forced sync, rollback, failover",
    ),
    _cause(
        "C18",
        "ImmutableField",
        "The commit changes a field that cannot be changed on an object that exists.",
        "Plan it: a new name, or delete and create in a maintenance window. Going back to the last good revision is reasonable meanwhile.",
        allow="rollback",
        forbid="forced sync, failover",
    ),
    _cause(
        "C19",
        "AdmissionDenied",
        "An admission policy of the cluster does not let an object in.",
        "Whoever owns it reads the policy's words below, and corrects the manifest or asks for an exception.",
        forbid="sync, forced sync, failover",
    ),
    _cause(
        "C20",
        "WebhookDown",
        "An admission webhook that has to be asked does not answer, so the cluster takes nothing in.",
        "Mend what serves the webhook named below (pods, endpoints, certificate) first; rolling back would fail in the same way.",
        once="sync",
        forbid="forced sync, rollback, failover, restart",
    ),
    _cause(
        "C21",
        "QuotaExceeded",
        "The namespace's quota or limits leave no room.",
        "Whoever manages capacity raises the ResourceQuota or LimitRange, or the owner asks for less.",
        forbid="sync, forced sync, restart, failover",
    ),
    _cause(
        "C22",
        "ForbiddenInTarget",
        "Argo CD's account in the cluster, or the project, does not permit an object.",
        "Whoever runs the platform grants the right named below (ClusterRole of argocd-application-controller, or the AppProject's lists).",
        once="sync",
        forbid="forced sync, rollback, failover",
    ),
    _cause(
        "C23",
        "NamespaceMissing",
        "The namespace is not there, or is on its way out.",
        "Set the sync option CreateNamespace=true, or create it; a namespace that hangs in deletion has a finalizer to look for.",
        once="sync",
        forbid="forced sync, rollback, failover",
    ),
    _cause(
        "C24",
        "FieldConflict",
        "Two managers write the same field of an object, and server-side apply will not take it from the other.",
        "Agree who owns the field named below; take it out of one of the two. Do not force it.",
        forbid="forced sync, rollback, failover",
    ),
    _cause(
        "C25",
        "HookFailed",
        "A hook (a Job that runs before, during or after the sync) has failed or does not come to an end.",
        "Read the hook's logs first: the next sync deletes it.",
        advices={
            "Job": "Read the Job's logs. To run it again it has to be deleted, or be a hook (argocd.argoproj.io/hook)."
        },
        once="sync",
        forbid="forced sync, rollback, failover, restart",
        variants={
            "Hung": _variant(allow="terminate", useless="sync"),
            "Migration": _variant(forbid="sync"),
            "Job": _variant(useless="sync"),
        },
        notes={
            "Job": "It is a plain Job of a sync wave: a sync does not run it again.",
            "Hung": "It is still running and shows no end.",
            "Migration": "It looks like a migration: running it a second time is a decision for people.",
        },
    ),
    _cause(
        "C26",
        "WaveNotHealthy",
        "The sync waits for a resource of an earlier wave to become healthy.",
        "Look at the resource named below: it is what is ill, and not the sync.",
        allow="terminate",
        forbid="sync, forced sync, failover",
        tells=NotifyWhen.late,
    ),
    _cause(
        "C27",
        "WaitingForHuman",
        "The operation waits on purpose: for a sync window, for somebody to confirm a deletion, or for a finalizer.",
        "Confirm it (argocd app confirm-deletion APP), wait for the window, or find who owns the finalizer. Do not force it.",
        forbid="sync, forced sync, terminate, restart, rollback, failover",
        tells=NotifyWhen.late,
    ),
    _cause(
        "C28",
        "RetryInProgress",
        "Argo CD will try again by itself; the time of the next try is in its message.",
        "Wait for it. If a newer commit is stuck behind it, end the operation: argocd app terminate-op APP.",
        forbid="sync, forced sync, terminate, restart, rollback, failover",
        tells=NotifyWhen.never,
        variants={"NewerRevision": _variant(allow="terminate")},
        notes={"NewerRevision": "It retries an older revision than Git wants by now."},
    ),
    _cause(
        "C29",
        "OperationOrphaned",
        "An operation is recorded that nobody works on any more: its state is impossible, or its controller was stopped in the middle of it.",
        "If the application controller is back and it stays so, its operationState has to be cleared; terminate with repair_orphans does that.",
        allow="repair",
        forbid="forced sync, rollback, failover, restart",
        variants={
            "ControllerGone": _variant(useless="repair"),
            "Terminating": _variant(useless="repair"),
            "TimedOut": _variant(useless="repair", once="sync"),
        },
        notes={
            "ControllerGone": "Its controller does not run: it goes on with it when it is back.",
            "Terminating": "It is being ended and does not come to an end: look for a hook with a finalizer.",
            "TimedOut": "Argo CD itself ended it (controller.sync.timeout.seconds).",
        },
    ),
    _cause(
        "C30",
        "RolloutFailed",
        "The new pods do not come up: they crash, fail their probes, or miss the rollout's deadline.",
        "Read the logs of the pod named below (kubectl logs --previous). If a deploy brought it, go back to the last good revision.",
        allow="rollback",
        once="restart",
        forbid="sync, forced sync, failover",
    ),
    _cause(
        "C31",
        "ImageUnavailable",
        "An image cannot be pulled.",
        "Check the image's name and tag, the registry's state and the pull secret.",
        forbid="restart, rollback, sync, forced sync, failover",
        variants={"NotFound": _variant(allow="rollback", useless="restart, sync")},
        notes={
            "NotFound": "The registry answers, and does not have it: name or tag is wrong, or it was never pushed.",
            "Auth": "The registry refuses: mend the pull secret. The image of the last revision may be refused just so.",
            "Registry": "The registry does not answer: an older image may not come either.",
        },
    ),
    _cause(
        "C32",
        "ConfigMissing",
        "A pod asks for a ConfigMap, Secret or key that is not there.",
        "Find what provides it (an ExternalSecret, another application, a manual step) and mend that.",
        forbid="restart, rollback, forced sync, failover",
    ),
    _cause(
        "C33",
        "Unschedulable",
        "No node has room for a pod, or its volume cannot be provided.",
        "Add capacity, or correct requests, selectors, taints, quota or storage class. An autoscaler may be at it already.",
        forbid="restart, rollback, forced sync, failover",
    ),
    _cause(
        "C34",
        "OutOfMemory",
        "A container was killed because it used more memory than it may.",
        "Raise its limit or find the leak. If the deploy brought it, go back.",
        allow="rollback",
        forbid="restart, sync, forced sync, failover",
    ),
    _cause(
        "C35",
        "DependencyOutage",
        "Many applications fell ill together, and none of them was deployed anew: something they share is down.",
        "Look for what they have in common; none of them is cured by itself.",
        forbid=_ALL,
    ),
    _cause(
        "C36",
        "StuckProgressing",
        "A resource has been on its way for long, and nothing says that it has failed (many kinds have no deadline).",
        "Look at the resource named below: kubectl describe. A health check of your own may tell Argo CD when it has failed.",
        once="refresh",
        forbid="sync, forced sync, rollback, failover",
        tells=NotifyWhen.late,
    ),
    _cause(
        "C37",
        "Suspended",
        "Something is paused on purpose: a Rollout step, a paused Deployment, a suspended CronJob.",
        "Whoever paused it resumes it.",
        forbid=_ALL,
        tells=NotifyWhen.never,
    ),
    _cause(
        "C38",
        "ResourcesMissing",
        "Resources that Git wants are not in the cluster.",
        "With auto-sync on they come with its next cycle; else sync, without prune.",
        allow="refresh",
        once="sync",
        forbid="forced sync, rollback, failover",
    ),
    _cause(
        "C39",
        "DriftFight",
        "Argo CD and somebody else overwrite each other again and again.",
        "Find the other manager (kubectl get ... --show-managed-fields, a second Application, an autoscaler, an operator) and let one of them go.",
        forbid="sync, forced sync, hard refresh, rollback, failover",
        notes={
            "Rollouts": "Argo Rollouts writes these while it shifts traffic: a sync would take traffic from where it has put it."
        },
        advices={
            "Rollouts": "Add ignoreDifferences for what Argo Rollouts writes (weights of the VirtualService, selectors of the Services, replicas)."
        },
    ),
    _cause(
        "C40",
        "PruneOnly",
        "All that differs is resources that are no longer in Git and wait to be deleted. This is no outage.",
        "Delete them when you are sure: argocd app sync APP --prune.",
        forbid="sync, forced sync, rollback, failover",
        tells=NotifyWhen.never,
    ),
    _cause(
        "C41",
        "NeverConverging",
        "It was synced, and still differs: something changes what was applied as soon as it is there.",
        "Add ignoreDifferences for the fields of the resource below, or take them out of Git.",
        once="sync",
        forbid="forced sync, rollback, failover",
    ),
    _cause(
        "C42",
        "DeletionStuck",
        "The application is being deleted and does not get to the end.",
        "Look for what does not go away (finalizers, a cluster that does not answer, a DeletionError). Removing the Application's own finalizer leaves its resources behind: a decision for people.",
        forbid=_ALL,
    ),
    _cause(
        "C43",
        "ReconcileFrozen",
        "Argo CD has not looked at this application for far longer than its own interval: what it shows is old.",
        "Look at the application controller and the shard that owns the cluster (kubectl -n argocd logs sts/argocd-application-controller).",
        forbid=_ALL,
    ),
    _cause(
        "C44",
        "WarningOnly",
        "Argo CD warns, and nothing is broken.",
        "Read the warning when there is time.",
        tells=NotifyWhen.never,
    ),
    _cause(
        "C45",
        "Unclassified",
        "Argo CD reports an error that this controller does not know.",
        "Read the words below. Nothing is tried against an error nobody understands; `recovery diagnose` collects the evidence.",
        forbid=_ALL,
    ),
    _cause(
        "C46",
        "ObjectInvalid",
        "The API server rejects an object as it stands: a field or value that it does not take, or a name or port that is taken.",
        "Whoever owns it corrects the manifest; the words below name the field. Nothing of this object was applied.",
        allow="rollback",
        forbid="sync, forced sync, restart, failover",
        variants={"Taken": _variant(forbid="rollback")},
        notes={"Taken": "A name, an address or a port is taken by something else."},
        advices={
            "Taken": "Find what has it (kubectl get ... -A, or the other application), and let one of the two go or take another."
        },
    ),
    _cause(
        "C47",
        "DependencyUnhealthy",
        "A custom resource of the application says that it is not ready; what runs beside it may be well.",
        "Look at the resource named below (kubectl describe) and at the controller that serves it: its words are below.",
        forbid="sync, forced sync, restart, rollback, failover",
    ),
    _cause(
        "C48",
        "AnalysisFailed",
        "Argo Rollouts took the new version back after its analysis failed: the stable version serves all traffic.",
        "This is no outage: users are served. Git still wants the new version: revert or correct the commit; until then it stays Degraded.",
        forbid="sync, forced sync, restart, rollback, failover",
        loudest="warning",
    ),
    _cause(
        "C49",
        "AnalysisError",
        "Argo Rollouts could not measure the new version, and took it back: the metric source failed, not the release.",
        "Mend the metric provider named below (address, credentials, query), then retry the Rollout. The release is not proven bad.",
        forbid="sync, forced sync, restart, rollback, failover",
        loudest="warning",
    ),
    _cause(
        "C50",
        "AnalysisInconclusive",
        "An analysis of Argo Rollouts ended without a verdict: the Rollout waits for a person.",
        "Look at the AnalysisRun and decide: promote or abort the Rollout. Nothing decides it by itself.",
        forbid=_ALL,
        tells=NotifyWhen.late,
    ),
    _cause(
        "C51",
        "RolloutInvalid",
        "Argo Rollouts refuses the Rollout as it stands: nothing new is rolled out, what ran goes on.",
        "Whoever owns it corrects the Rollout; its message below names the field.",
        forbid="sync, forced sync, restart, rollback, failover",
    ),
    _cause(
        "C52",
        "RolloutProgressing",
        "A Rollout is on its way through its steps: that takes as long as its steps and pauses say.",
        "Wait for it; kubectl argo rollouts get rollout shows the step. Only its owner promotes, aborts or retries it.",
        forbid=_ALL,
        tells=NotifyWhen.late,
        loudest="info",
    ),
    _cause(
        "C53",
        "RolloutAborted",
        "A Rollout was aborted, by a person or at its deadline: Argo Rollouts went back to the stable version.",
        "See whether the stable version serves (kubectl argo rollouts get rollout). Git still wants the new one: correct or revert the commit, or retry.",
        forbid="sync, forced sync, restart, rollback, failover",
    ),
)

BY_NAME: Mapping[str, Cause] = {cause.name: cause for cause in CAUSES}
