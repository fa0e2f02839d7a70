"""Every kind of action, by the name policies use."""

from __future__ import annotations

from collections.abc import Mapping

from recovery.act.action import Action
from recovery.act.check_cluster import TEST_CLUSTER_CONNECTIVITY
from recovery.act.check_repository import TEST_CONNECTION
from recovery.act.escalate import ESCALATE
from recovery.act.failback import FAILBACK_ACTION
from recovery.act.failover import FAILOVER
from recovery.act.notify import NOTIFY
from recovery.act.orphaned_resources import CLEANUP_ACTION, LIST_LEFTOVERS_ACTION
from recovery.act.refresh import REFRESH_ACTION
from recovery.act.refresh_applications import REFRESH_APPLICATIONS_ACTION
from recovery.act.refresh_cluster_config import REFRESH_CLUSTER_CONFIG
from recovery.act.refresh_credentials import REFRESH_CREDENTIALS
from recovery.act.release import RELEASE_ACTION
from recovery.act.restart import RESTART
from recovery.act.rollback import ROLLBACK
from recovery.act.sync import SYNC
from recovery.act.terminate import TERMINATE
from recovery.model.action import ActionKind

ALL_ACTIONS: dict[str, Action] = {
    "refresh": REFRESH_ACTION,
    "sync": SYNC,
    "terminate": TERMINATE,
    "restart": RESTART,
    "rollback": ROLLBACK,
    "escalate": ESCALATE,
    "notify": NOTIFY,
    "refresh_credentials": REFRESH_CREDENTIALS,
    "test_connection": TEST_CONNECTION,
    "refresh_cluster_config": REFRESH_CLUSTER_CONFIG,
    "test_cluster_connectivity": TEST_CLUSTER_CONNECTIVITY,
    "failover": FAILOVER,
    "release": RELEASE_ACTION,
    "refresh_applications": REFRESH_APPLICATIONS_ACTION,
    "list_leftovers": LIST_LEFTOVERS_ACTION,
    "failback": FAILBACK_ACTION,
    "cleanup": CLEANUP_ACTION,
}

INTERNAL = frozenset({"release", "refresh_applications", "list_leftovers", "failback", "cleanup"})
"""What the judgement asks for by itself; policies may not name it."""

ACTION_KINDS: Mapping[str, ActionKind] = {name: action.kind for name, action in ALL_ACTIONS.items()}
"""What a Recovery may have begun."""

POLICY_ACTIONS: Mapping[str, ActionKind] = {
    name: action.kind for name, action in ALL_ACTIONS.items() if name not in INTERNAL
}
"""What a policy file may name."""
