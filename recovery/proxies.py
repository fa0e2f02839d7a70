"""The way out, where there is a proxy: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as every tool reads
them."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

INSIDE = (".svc", ".cluster.local", ".local")
"""What never leaves the cluster, whether or not NO_PROXY says so."""


def proxy_for(url: str) -> str | None:
    """The proxy that a URL is reached by; None for none. The environment is read anew each time."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or host == "localhost" or host.endswith(INSIDE) or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)
