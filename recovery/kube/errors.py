"""Errors of the API server, by what we have to do next."""

from __future__ import annotations

from recovery.model.text import plain


class KubeError(Exception):
    """Anything that went wrong at this door. ``status`` is the HTTP status, 0 when there was no
    answer."""

    in_doubt = False
    """A write may have gone through although it failed for us."""

    def __init__(self, message: str, status: int = 0, retry_after: float = 0) -> None:
        super().__init__(plain(message, 4_000))  # it quotes names and texts of strangers
        self.status = status
        self.retry_after = retry_after
        self.told = ""
        """What the other side itself said, where it is not the one we asked but somebody it asked
        in turn (Argo CD)."""


class NotFound(KubeError):
    """404: the object, or its kind, is not there."""


class Conflict(KubeError):
    """409: it exists already, or it changed since we read it."""


class Gone(KubeError):
    """410: the resourceVersion or continue token is too old; list again."""


class Forbidden(KubeError):
    """403: our ServiceAccount lacks the right."""


class Unauthorized(KubeError):
    """401: the token is expired or unknown."""


class Invalid(KubeError):
    """400, 413, 415 or 422: the request itself is wrong; repeating it is useless."""


class Busy(KubeError):
    """429: come back after ``retry_after`` seconds; nothing was written."""


class Unavailable(KubeError):
    """5xx, a reset, a timeout, or no connection at all."""

    in_doubt = True


class Late(Unavailable):
    """The server took the request and did not answer in time."""


def error_for(status: int, message: str, retry_after: float = 0) -> KubeError:
    """The error that stands for an HTTP status of 400 or more."""
    kinds: dict[int, type[KubeError]] = {
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Gone,
        429: Busy,
        **dict.fromkeys((400, 405, 406, 413, 415, 422), Invalid),
    }
    return kinds.get(status, Unavailable)(message, status, retry_after)
