"""No credential goes further than this: texts from outside are cleaned where they come in."""

from __future__ import annotations

import re

_NAMES = (
    r"password|passwd|pwd|passphrase|token|secret|secret[_-]?(?:access[_-]?)?key|private[_-]?key|api[_-]?key|access[_-]?key"
    r"|sig(?:nature)?|credential"
)
_SECRETS = (
    # https://user:password@host, also inside longer texts, also with an @ in the password
    # A user alone that is plainly a name (ssh://git@, https://org@dev.azure.com) is none; a token has digits in it.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)(?![a-z][a-z._-]{0,30}@[^/@\s]*(?:/|$|\s))[^/\s\"'<>]*@", re.IGNORECASE), r"\1***@"),
    (re.compile(r"(https://hooks\.slack\.com/(?:services|workflows)/)[^\s\"']+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(\b(?:bearer|basic|token)\s+)[a-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
    (re.compile(rf"((?:{_NAMES})[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]{{3,}}", re.IGNORECASE), r"\1***"),
    (re.compile(rf"(--(?:{_NAMES})\s+)[^\s\"']{{3,}}", re.IGNORECASE), r"\1***"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), "***"),
    (re.compile(r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b"), "***"),
)


def redact(text: str, longest: int) -> str:
    """The text without credentials, cut to ``longest`` characters."""
    # Cut first with room to spare: a pattern must not run over a megabyte of log.
    text = text[: longest * 4]
    for pattern, stand_in in _SECRETS:
        text = pattern.sub(stand_in, text)
    return text if len(text) <= longest else text[: longest - 3] + "..."
