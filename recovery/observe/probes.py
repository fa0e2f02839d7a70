"""Cheap looks of our own: at a cluster's API server, at a Git server, at a witness outside."""

from __future__ import annotations

import ssl
from datetime import datetime

import aiohttp

from recovery.decide.error_classification import verdict_of
from recovery.kube.errors import Forbidden, Invalid, KubeError, Unauthorized
from recovery.kube.remote import Remote
from recovery.model.connection import ProbeResult, ProbeSource, Verdict
from recovery.model.redact import redact
from recovery.proxies import proxy_for

_THE_PROXYS_OWN = (407, 502, 503, 504)
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


async def connect(remote: Remote, now: datetime) -> ProbeResult:
    """A TLS connect and ``/readyz`` with Argo CD's own credentials for it."""
    try:
        answer = await remote.get("/readyz")
    except Unauthorized as error:
        return ProbeResult(ProbeSource.connect, Verdict.credentials_refused, now, _cut(error))
    except Forbidden:
        return ProbeResult(
            ProbeSource.connect, Verdict.reachable, now, "it answered; /readyz is not for us"
        )
    except Invalid as error:
        return ProbeResult(ProbeSource.connect, Verdict.no_evidence, now, _cut(error))
    except KubeError as error:
        if error.status in (502, 503, 504):
            return ProbeResult(
                ProbeSource.connect,
                Verdict.unreachable,
                now,
                f"nobody behind its load balancer: {_cut(error)}",
            )
        if error.status >= 500:
            return ProbeResult(
                ProbeSource.connect, Verdict.api_partial, now, f"/readyz: {_cut(error)}"
            )
        if error.status:
            return ProbeResult(ProbeSource.connect, Verdict.no_evidence, now, _cut(error))
        found = verdict_of(str(error))
        # It was our own attempt, and nobody answered it: what has no better name is unreachable.
        return ProbeResult(
            ProbeSource.connect,
            Verdict.unreachable if found is Verdict.no_evidence else found,
            now,
            _cut(error),
        )
    if not answer.strip().lower().startswith(b"ok"):
        return ProbeResult(
            ProbeSource.connect,
            Verdict.no_evidence,
            now,
            "something answers there, but not as an API server does",
        )
    return ProbeResult(ProbeSource.connect, Verdict.reachable, now, "/readyz: ok")


async def ask_git(url: str, now: datetime) -> ProbeResult:
    """Ask what ``git ls-remote`` asks first, without credentials: an answer of any kind says that
    the server is there."""
    if not url.startswith(("http://", "https://")) or "***@" in url:
        return ProbeResult(
            ProbeSource.request,
            Verdict.no_evidence,
            now,
            "only http and https without credentials in the URL are asked",
        )
    path = url.rstrip("/") + "/info/refs?service=git-upload-pack"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(
                path,
                headers={"User-Agent": "git/2 gitops-recovery-controller"},
                allow_redirects=False,
                proxy=proxy_for(path),
            ) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        words = (
            "no answer within 10s"
            if isinstance(error, TimeoutError)
            else redact(str(error) or type(error).__name__, 200)
        )
        certain = isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError)
        found = Verdict.tls if certain else verdict_of(words)
        return ProbeResult(
            ProbeSource.request,
            Verdict.unreachable if found is Verdict.no_evidence else found,
            now,
            words,
        )
    if status == 429:
        return ProbeResult(ProbeSource.request, Verdict.rate_limited, now, "429")
    if status >= 500:
        return ProbeResult(ProbeSource.request, Verdict.unreachable, now, f"it answers {status}")
    wants = "; it wants credentials, which we do not have" if status in (401, 403, 404) else ""
    return ProbeResult(ProbeSource.request, Verdict.reachable, now, f"it answers {status}{wants}")


async def witness(url: str) -> str:
    """Ask a witness outside: an answer of any kind will do. In words who answered, empty when
    nobody did."""
    proxy = proxy_for(url)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(url, allow_redirects=False, proxy=proxy) as response,
        ):
            if proxy and response.status in _THE_PROXYS_OWN:
                return ""  # it was the proxy who answered, and it is on our side
            return f"{redact(url, 100)} answered {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return ""


def _cut(error: KubeError) -> str:
    return redact(str(error), 250)
