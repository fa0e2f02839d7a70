"""No credential goes further than this: texts from outside are cleaned where they come in."""

from __future__ import annotations

import re
from collections import Counter
from math import log2

from recovery.model.text import plain

_NAMES = (
    r"password|passwd|pwd|passphrase|token|secret|secret[_-]?(?:access[_-]?)?key|private[_-]?key|api[_-]?key|access[_-]?key"
    r"|sig(?:nature)?|credential"
)
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # https://user:password@host, also inside longer texts, also with an @ in the password A user
    # alone that is plainly a name (ssh://git@, https://org@dev.azure.com) is none; a token has
    # digits in it.
    (
        re.compile(
            r"([a-z][a-z0-9+.-]{0,20}://)(?![a-z][a-z._-]{0,30}@[^/@\s]*(?:/|$|\s))[^/\s\"'<>]*@",
            re.IGNORECASE,
        ),
        r"\1***@",
    ),
    (
        re.compile(r"(https://hooks\.slack\.com/(?:services|workflows)/)[^\s\"']+", re.IGNORECASE),
        r"\1***",
    ),
    (re.compile(r"(\b(?:bearer|basic|token)\s+)[a-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1***"),
    (
        re.compile(rf"((?:{_NAMES})[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]{{3,}}", re.IGNORECASE),
        r"\1***",
    ),
    (re.compile(rf"(--(?:{_NAMES})\s+)[^\s\"']{{3,}}", re.IGNORECASE), r"\1***"),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
            re.DOTALL,
        ),
        "***",
    ),
    (
        re.compile(
            r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b"
        ),
        "***",
    ),
)
_MARKS: tuple[tuple[str, ...], ...] = (
    ("://",),
    ("://",),
    ("bearer", "basic", "token"),
    ("pass", "pwd", "token", "secret", "key", "sig", "credential"),
    ("--",),
    ("-----begin ",),
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "akia"),
)
"""Each of them is tried on a text that holds one of these, in small letters; for most that is a
tenth of the cost."""

_TOKEN = re.compile(r"(?<![\w-])[\w-]++\.[\w-]++\.[\w-]*+")
"""Three words joined by dots, which may end in a JSON web token. Each word is looked at three times
at most, whatever it holds."""
_TOKEN_BEGINS = re.compile(r"\beyJ[\w-]")
KEY_LENGTH = 32
"""Characters; a shorter word is not taken for a key by what it is made of."""
_RANDOM = re.compile(rf"(?<![\w/+-])[\w+-][\w+/-]{{{KEY_LENGTH - 1},}}={{0,2}}")
"""Small and capital letters and digits in one long word: no hash, no name that Kubernetes lets
anybody give."""
_MIXED = (re.compile(r"[a-z]"), re.compile(r"[A-Z]"), re.compile(r"\d"))
WORD = 512
"""Characters of a text without a space that are left out before a cut."""
_BITS = 4.2
"""Of entropy a character from which on such a word is taken for a key."""
_held: set[str] = set()


def hold(*secrets: str) -> None:
    """This process holds these secrets: they are taken out of every text from now on. Short ones
    are words like any other."""
    _held.update(secret for secret in secrets if len(secret) >= 8)


def _keys(text: str) -> str:
    if all(len(word) < KEY_LENGTH for word in text.split()):
        return text
    return _RANDOM.sub(lambda found: "***" if _random(found.group()) else found.group(), text)


def _token(found: re.Match[str]) -> str:
    """Three words of which the first ends in the head of a JSON web token: what comes before it
    stays."""
    word = found.group()
    begins = _TOKEN_BEGINS.search(word, 0, word.index("."))
    return f"{word[: begins.start()]}***" if begins else word


def _random(word: str) -> bool:
    """Is a long word a key by what it is made of?"""
    return all(part.search(word) for part in _MIXED) and _entropy(word) >= _BITS


def _entropy(word: str) -> float:
    counts = Counter(word).values()
    return -sum(n / len(word) * log2(n / len(word)) for n in counts)


def _begun(text: str, longest: int) -> str:
    """The beginning of a text, without the word that the cut goes through: what shows that it is a
    secret may stand behind the cut."""
    if len(text) <= longest:
        return text
    whole = text[:longest].rsplit(None, 1)
    return whole[0] if len(whole) == 2 else text[: max(0, longest - WORD)]


def redact(text: str, longest: int, *, lines: bool = False) -> str:
    """The text as ``plain`` gives it, without credentials, cut to ``longest`` characters."""
    # Cut first with room to spare: a pattern must not run over a megabyte of log.
    text = plain(_begun(text, longest * 4), lines=lines)
    for secret in _held:
        if secret in text:
            # An address keeps its scheme: where a secret is the beginning of another address, that
            # one is still seen to be one.
            scheme, found, _ = secret.partition("://")
            text = text.replace(secret, f"{scheme}://***" if found and scheme.isalnum() else "***")
    # Other letters than ASCII's may be small ones of these: then each expression is tried.
    small = text.lower() if text.isascii() else ""
    for marks, (pattern, stand_in) in zip(_MARKS, _SECRETS, strict=True):
        if not small or any(mark in small for mark in marks):
            text = pattern.sub(stand_in, text)
    if "eyJ" in text:
        text = _TOKEN.sub(_token, text)
    text = _keys(text)
    return text if len(text) <= longest else text[: longest - 3] + "..."
