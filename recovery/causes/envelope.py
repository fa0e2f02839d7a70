"""Texts that Argo CD, its tools and gRPC wrap around an error, and the reason inside: it comes
last, and is what people need to read.

Argo CD wraps an error of its repo-server in 135 to 290 characters
(controller/state.go:CompareAppState, reposerver/repository/repository.go:GenerateManifests,
util/exec/exec.go; seen on 2.14 to 3.6).
"""

from __future__ import annotations

import re

from recovery.model.redact import redact

_OPENS = (
    r"(?:condition|operation|resource|health|hook) [^:]{1,90}: ",
    r"Failed (?:last )?(?:partial )?sync attempt to \[?[^\]:]{0,200}\]?:? ?",
    r"one or more objects failed to apply(?:, reason)?: ",
    r"one or more synchronization tasks are not valid(?: due to)?: ",
    r"ComparisonError: ",
    r"Failed to (?:load (?:target|live) state|compare desired state to live state): ",
    r"failed to generate manifests?(?: for source \d{1,3} of \d{1,3})?: ",
    r"Unable to generate manifests in [^:]{0,300}: ",
    r"rpc error: code = \w{1,30} desc = ",
    r"Manifest generation error \(cached\): ",
    r"plugin sidecar failed\. ",
    r"error generating manifests in cmp: ",
    (
        r"`[^`]{1,4000}` failed (?:exit status \d{1,3}|(?:fatal )?timeout after [\w.]{1,20}|signal:"
        r" \w{1,20}):? ?"
    ),
    r"exit status \d{1,3}: ",
    r"(?:error|failed|unable|cannot|could not|couldn't) [\w '/.-]{2,80}: ",
    r"(?:Error|fatal|panic): ",
)
_OPENED = re.compile(rf"(?:{'|'.join(_OPENS)})", re.IGNORECASE)
_CLOSES = re.compile(
    r"(?: ?\(retried \d{1,4} times?\)\.?| Use --debug flag to render out invalid YAML|\. Retrying"
    r" attempt #\d.{0,80})$"
)
_SAID_LAST = re.compile(r"(?:^|[\s:])(?:Error|ERROR|fatal): ")
"""How Helm, kustomize and Git begin what they have to say, after all that they print before it."""
CUT_MARK = " [...] "


def reason(text: str) -> str:
    """The innermost reason of an error: known envelopes and what tools print before it are taken
    off; the text itself when nothing would be left."""
    text, at = text.strip(), 0
    while (found := _OPENED.match(text, at)) is not None and found.end() < len(text):
        at = found.end()
    inner = text[at:].strip()
    last = None
    for last in _SAID_LAST.finditer(inner):  # noqa: B007 (the last of them is wanted)
        pass
    if last is not None and inner[last.end() :].strip():
        inner = inner[last.end() :].strip()
    closed = _CLOSES.sub("", inner).strip()
    return closed or inner


def essential(text: str, longest: int) -> str:
    """At most ``longest`` characters of an error: all of it, or its innermost reason first, then
    its head and its tail."""
    if len(text) <= longest:
        return text
    opened = _FIRST.match(text)
    head = opened.group() if opened else ""
    inner = reason(text[len(head) :])
    room = longest - len(head)
    if len(inner) <= room < len(inner) + 4 * len(CUT_MARK):
        return head + inner
    if len(inner) > room:
        half = (room - len(CUT_MARK)) // 2
        return f"{head}{inner[:half]}{CUT_MARK}{inner[-half:]}"[:longest]
    left = room - len(inner) - 2 * len(CUT_MARK)
    rest = text[len(head) :]
    begin, end = rest[: left * 2 // 3].rstrip(), rest[-(left // 3) :].lstrip()
    return f"{head}{inner}{CUT_MARK}{begin}{CUT_MARK}{end}"[:longest]


def received(text: str, longest: int) -> str:
    """An error from outside: without credentials, and where it is too long its reason first.
    Cleaned before it is cut, for a cut may take away what shows that a word is a secret."""
    room = (
        longest if text.isascii() else max(longest // 4, 300)
    )  # Python keeps up to four bytes for each character of other texts
    return essential(redact(text, 4 * room), room)


_FIRST = re.compile(_OPENS[0])
"""Where it was seen, in our own words: that stays in front."""
