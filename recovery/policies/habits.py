"""Habits: what people write, of Prometheus, Kubernetes or Alertmanager, and what is right
here."""

from __future__ import annotations

import re
from collections.abc import Mapping

FILE_KEYS: Mapping[str, str] = {
    "groups": "this is a Prometheus rule file; policies stand under recovery_policies:",
    "apiVersion": (
        "a policy file is no Kubernetes object; put its text into ConfigMap recovery-policies, key"
        " policies.yaml"
    ),
    "spec": "a policy file is no Kubernetes object; what stands under spec belongs at the top",
    "policies": "did you mean 'recovery_policies'?",
    "recoveryPolicies": "did you mean 'recovery_policies'?",
    "rules": "did you mean 'recovery_policies'?",
    "receivers": (
        "this is Alertmanager's; channels' URLs are in the Secret recovery-channels, and where"
        " messages go stands under routes:"
    ),
    "route": "did you mean 'routes'?",
}
"""At the top of a file."""
KEYS: tuple[tuple[str, str, str], ...] = (
    (r"condition$", r"for|for_duration|after|since", "did you mean 'duration'?"),
    (r"condition$", r"state", "did you mean 'status', 'health' or 'connection_state'?"),
    (
        r"recovery_policies\[\d+\]$",
        r"enabled|disabled|active",
        "did you mean 'mode: observe', which only watches?",
    ),
    (r"recovery_policies\[\d+\]$", r"when|if|match|trigger", "did you mean 'condition'?"),
    (r"recovery_policies\[\d+\]$", r"steps|do|then", "did you mean 'actions'?"),
    (
        r"recovery_policies\[\d+\]$",
        r"retries|maxAttempts|max_attempts|retry",
        "did you mean 'attempts'?",
    ),
    (r"selector$", r"matchLabels|matchExpressions", "write 'labels: {%s: ...}'"),
    (r"selector$", r"apps|applications|app", "did you mean 'names'?"),
    (
        r"selector$",
        r"namespace|project|name|cluster|repository|repo",
        "write a list, such as '%ss: [...]'",
    ),
    (r"actions\[\d+\]$", r"action|name|kind", "did you mean 'type'?"),
)
"""Where (the end of the path above it), the key, and what is right; ``%s`` is the key."""
WORDS: Mapping[str, str] = {
    "dry-run": "observe",
    "dryrun": "observe",
    "dry_run": "observe",
    "watch": "observe",
    "off": "observe",
    "disabled": "observe",
    "enforce": "act",
    "on": "act",
    "enabled": "act",
    "page": "critical",
    "error": "high",
    "warn": "warning",
    "medium": "warning",
    "low": "info",
    "down": "Failed",
    "unreachable": "Failed",
    "disconnected": "Failed",
    "up": "Successful",
    "connected": "Successful",
    "drifted": "OutOfSync",
    "out-of-sync": "OutOfSync",
    "out_of_sync": "OutOfSync",
    "in-sync": "Synced",
    "unhealthy": "Degraded",
    "crashing": "Degraded",
    "app": "application",
    "repo": "repository",
}
"""A value, in small letters, and the word that it stands for elsewhere; offered where the field
knows that word."""
FORMS: tuple[tuple[str, str], ...] = (
    (r"schedule$", "write five cron fields, such as '0 22 * * 1-5'"),
    (
        r"name$",
        (
            "write small letters, digits and -, beginning and ending with a letter or digit, 63 at"
            " most"
        ),
    ),
    (r"(fleet|group)$", "write a percentage such as 30%"),
    (r"reason$", "write why"),
)
"""What a text has to look like, by the end of its path."""


def about_key(path: str, key: str, fields: Mapping[str, object]) -> str:
    """The key that is right in place of an unknown key; empty where it is nobody's habit.
    ``fields`` are those that it could have."""
    if not path and key in FILE_KEYS:
        return FILE_KEYS[key]
    for where, word, right in KEYS:
        if re.search(where, path) and re.fullmatch(word, key):
            return right.replace("%s", key)
    if re.search(r"actions\[\d+\]$", path) and "parameters" in fields and snake(key) not in fields:
        return (
            f"what an action needs belongs under 'parameters: {{{snake(key)}: ...}}'"
            if snake(key) in PARAMETERS
            else ""
        )
    near = snake(key)
    return f"did you mean {near!r}?" if near != key and near in fields else ""


PARAMETERS = frozenset(
    {
        "after_attempts",
        "channels",
        "resources",
        "hard",
        "prune",
        "force",
        "target_cluster",
        "severity",
        "allow",
        "when",
    }
)
"""Parameters of actions that are often written beside ``type``."""


def snake(key: str) -> str:
    """A camelCase key in snake_case: ``after_attempts`` for ``afterAttempts``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()


def about_word(word: str, known: Mapping[str, object]) -> str:
    """The word that this one stands for elsewhere, where the field knows it; empty else."""
    meant = WORDS.get(word.lower(), "")
    if meant in known:
        return meant
    return next((each for each in known if each.lower() == word.lower()), "")


def about_form(path: str) -> str:
    """How a text has to look, in words; empty where there is only its pattern."""
    return next((words for where, words in FORMS if re.search(where, path)), "")
