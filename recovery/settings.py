"""The environment, read once: every variable of the README's table, with its default."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from recovery.model.duration import Duration

MOST_SHARDS = 32
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class InvalidSettings(Exception):
    """Variables that cannot be used; each line names one, and what would be right."""


class Settings(Struct, frozen=True):
    """Settings from the environment, read once at the start."""

    argocd_namespace: str = "argocd"
    application_namespaces: tuple[str, ...] = ()
    """ARGOCD_APPLICATION_NAMESPACES: further namespaces with Applications (globs)."""
    argocd_server: str = ""
    argocd_token: str = ""
    argocd_token_file: str = ""
    argocd_ca_file: str = ""
    argocd_insecure: bool = False
    enabled: bool = True
    attempts: int = 3
    interval: timedelta = timedelta(seconds=300)
    """RECOVERY_INTERVAL: the pause between attempts, and the resync."""
    namespace: str = "gitops-system"
    """RECOVERY_NAMESPACE: where our own objects live."""
    policies: str = "recovery-policies"
    channels: str = "recovery-channels"
    channels_dir: str = ""
    """RECOVERY_CHANNELS_DIR: where that Secret is mounted; then it is not read by name."""
    cluster_secrets: tuple[str, ...] = ()
    """RECOVERY_CLUSTER_SECRETS: Argo CD's cluster Secrets that may be read, by name."""
    poll_interval: timedelta = timedelta(seconds=10)
    """RECOVERY_POLL_INTERVAL: between two looks at a cluster or a repository."""
    ask_git: bool = False
    """RECOVERY_ASK_GIT: also ask Git servers ourselves."""
    witness: str = ""
    """RECOVERY_WITNESS: a URL outside, whose answer tells that it is not we who are cut off."""
    shards: int = 1
    """RECOVERY_SHARDS: among how many replicas at most the subjects are divided."""
    lease: str = "gitops-recovery-controller"
    """RECOVERY_LEASE: the Leases' name, in Argo CD's namespace. Two installations with one name
    never both act."""
    lease_duration: timedelta = timedelta(seconds=12)
    """RECOVERY_LEASE_DURATION: how long a Lease is another replica's that does not renew it. The
    same for all replicas."""
    identity: str = ""
    """RECOVERY_IDENTITY: this replica's name; by default one that no other process has."""
    listen: tuple[str, int] = ("", 8080)
    """RECOVERY_LISTEN: host and port; no host stands for every address, of both families: a Pod's
    probes come from outside."""
    auth: str = "auto"
    """RECOVERY_AUTH: on, off, or auto: on unless only loopback is listened on."""
    otlp_endpoint: str = ""
    """OTEL_EXPORTER_OTLP_ENDPOINT: where traces go, one a recovery; empty for none."""
    otlp_headers: str = ""
    """OTEL_EXPORTER_OTLP_HEADERS: a credential, as likely as not."""
    log_level: str = "info"
    log_format: str = ""
    """json or console; empty: console on a terminal."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where Applications are watched; one empty name stands for all namespaces, filtered by
        globs."""
        if any(set("*?[") & set(glob) for glob in self.application_namespaces):
            return ("",)
        return tuple(dict.fromkeys((self.argocd_namespace, *self.application_namespaces)))

    def watches(self, namespace: str) -> bool:
        """Are Applications of this namespace the controller's?"""
        return any(
            fnmatchcase(namespace, glob)
            for glob in (self.argocd_namespace, *self.application_namespaces)
        )

    @property
    def guarded(self) -> bool:
        """Does whoever looks have to say who they are?"""
        here = self.listen[0] in ("localhost", "::1") or self.listen[0].startswith("127.")
        return self.auth == "on" or (self.auth == "auto" and not here)

    @property
    def has_token(self) -> bool:
        """Can Argo CD's API be asked?"""
        return bool(self.argocd_token or self.argocd_token_file)


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings from the environment; InvalidSettings names every variable that cannot be used."""
    wrong: list[str] = []
    namespace = env.get("ARGOCD_NAMESPACE") or "argocd"
    globs = tuple(
        g.strip() for g in env.get("ARGOCD_APPLICATION_NAMESPACES", "").split(",") if g.strip()
    )
    settings = Settings(
        argocd_namespace=namespace,
        application_namespaces=globs,
        argocd_server=(env.get("ARGOCD_SERVER") or f"https://argocd-server.{namespace}.svc").rstrip(
            "/"
        ),
        argocd_token=env.get("ARGOCD_TOKEN", "").strip(),
        argocd_token_file=env.get("ARGOCD_TOKEN_FILE", ""),
        argocd_ca_file=env.get("ARGOCD_CA_FILE", ""),
        argocd_insecure=_flag(env, "ARGOCD_INSECURE", False, wrong),
        enabled=_flag(env, "RECOVERY_ENABLED", True, wrong),
        attempts=_count(env, "MAX_RECOVERY_ATTEMPTS", 3, wrong),
        interval=_duration(env, "RECOVERY_INTERVAL", timedelta(seconds=300), wrong),
        namespace=env.get("RECOVERY_NAMESPACE") or _own_namespace() or "gitops-system",
        policies=env.get("RECOVERY_POLICIES") or "recovery-policies",
        channels=env.get("RECOVERY_CHANNELS") or "recovery-channels",
        channels_dir=env.get("RECOVERY_CHANNELS_DIR", ""),
        cluster_secrets=tuple(
            n.strip() for n in env.get("RECOVERY_CLUSTER_SECRETS", "").split(",") if n.strip()
        ),
        poll_interval=_duration(env, "RECOVERY_POLL_INTERVAL", timedelta(seconds=10), wrong),
        ask_git=_flag(env, "RECOVERY_ASK_GIT", False, wrong),
        witness=env.get("RECOVERY_WITNESS", "").strip(),
        shards=_count(env, "RECOVERY_SHARDS", 1, wrong),
        lease=env.get("RECOVERY_LEASE") or "gitops-recovery-controller",
        lease_duration=_duration(env, "RECOVERY_LEASE_DURATION", timedelta(seconds=12), wrong),
        identity=env.get("RECOVERY_IDENTITY", "").strip() or _identity(),
        listen=_listen(env, wrong),
        auth=_one_of(env, "RECOVERY_AUTH", ("auto", "on", "off"), wrong),
        otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip(),
        otlp_headers=env.get("OTEL_EXPORTER_OTLP_HEADERS", "").strip(),
        log_level=_one_of(env, "RECOVERY_LOG_LEVEL", ("info", "debug", "warning", "error"), wrong),
        log_format=_one_of(env, "RECOVERY_LOG_FORMAT", ("", "json", "console"), wrong),
    )
    if not settings.argocd_server.startswith(("http://", "https://")):
        wrong.append(
            f"ARGOCD_SERVER: {settings.argocd_server!r} is not a URL; write https://HOST or"
            " http://HOST"
        )
    if settings.witness and not settings.witness.startswith(("http://", "https://")):
        wrong.append(
            f"RECOVERY_WITNESS: {settings.witness[:80]!r} is not a URL; write https://HOST/PATH"
        )
    if settings.otlp_endpoint and not settings.otlp_endpoint.startswith(("http://", "https://")):
        wrong.append(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: {settings.otlp_endpoint[:80]!r} is not a URL; write"
            " http://HOST:4318"
        )
    if settings.poll_interval > timedelta(seconds=30):
        wrong.append(
            f"RECOVERY_POLL_INTERVAL: {env.get('RECOVERY_POLL_INTERVAL')} is longer than 30s; a"
            " verdict is good for 60s"
        )
    if not timedelta(seconds=6) <= settings.lease_duration <= timedelta(minutes=10):
        wrong.append(
            f"RECOVERY_LEASE_DURATION: {env.get('RECOVERY_LEASE_DURATION')} is not from 6s to 10m"
        )
    if settings.shards > MOST_SHARDS:
        wrong.append(f"RECOVERY_SHARDS: {settings.shards}; at most {MOST_SHARDS}")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", settings.lease):
        wrong.append(
            f"RECOVERY_LEASE: {settings.lease!r} is no name for a Lease; write up to 40 small"
            " letters, digits and dashes"
        )
    if wrong:
        raise InvalidSettings("\n".join(wrong))
    return settings


def _identity() -> str:
    """In a Pod its name, which a container that starts again keeps; elsewhere one that no other
    process has."""
    name = socket.gethostname()
    return name if _own_namespace() else f"{name}-{secrets.token_hex(4)}"


def _own_namespace() -> str:
    try:
        return _POD_NAMESPACE.read_text().strip()
    except OSError:
        return ""


def _flag(env: Mapping[str, str], name: str, default: bool, wrong: list[str]) -> bool:
    value = env.get(name, "").strip().lower()
    if value in ("true", "1", "yes", "on"):
        return True
    if value in ("false", "0", "no", "off"):
        return False
    if value:
        wrong.append(f"{name}: {value!r} is neither true nor false")
    return default


def _count(env: Mapping[str, str], name: str, default: int, wrong: list[str]) -> int:
    value = env.get(name, "").strip()
    if not value:
        return default
    if value.isdecimal() and 1 <= int(value) <= 1000:
        return int(value)
    wrong.append(f"{name}: {value!r} is not a whole number from 1 to 1000")
    return default


def _duration(env: Mapping[str, str], name: str, default: timedelta, wrong: list[str]) -> timedelta:
    value = env.get(name, "").strip()
    if not value:
        return default
    try:
        parsed = Duration.parse(value)
    except ValueError as error:
        wrong.append(f"{name}: {error}")
        return default
    if parsed < timedelta(seconds=1):
        wrong.append(f"{name}: {value} is shorter than 1s")
    return parsed


def _one_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...], wrong: list[str]) -> str:
    value = env.get(name, "").strip().lower() or allowed[0]
    if value not in allowed:
        wrong.append(f"{name}: {value!r} is not one of {', '.join(filter(None, allowed))}")
    return value


def _listen(env: Mapping[str, str], wrong: list[str]) -> tuple[str, int]:
    value = env.get("RECOVERY_LISTEN") or ":8080"
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        wrong.append(f"RECOVERY_LISTEN: {value!r} is not HOST:PORT")
        return "", 8080
    return host.strip("[]"), int(port)
