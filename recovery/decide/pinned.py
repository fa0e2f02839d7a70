"""Do the actions that a Recovery says its attempt began with come from its policy? A record is
input like any other."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from recovery.model.policy import Policy
from recovery.model.recovery import Recovery


def agreed(
    recovery: Recovery,
    policy: Policy | None,
    internal: AbstractSet[str],
    destructive: AbstractSet[str],
) -> bool:
    """May these actions be gone on with?

    While the policy is the one that the attempt began with (by its hash), they are its actions, but
    for ``internal`` ones, which the judgement puts between them. After an edit they were others;
    none of the ``destructive`` ones is believed that the policy does not name any more. Without its
    policy nothing is begun anyway.
    """
    if policy is None:
        return True
    own = tuple(written for written in recovery.actions if written.type not in internal)
    if recovery.policy_hash == policy.hash:
        return own in ((), tuple(step.written for step in policy.actions))
    return {written.type for written in own} & destructive <= {
        step.kind.name for step in policy.actions
    }
