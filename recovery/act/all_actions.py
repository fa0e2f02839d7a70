"""Every kind of action, by the name policies use."""

from __future__ import annotations

from collections.abc import Mapping

from recovery.act.announced import FailoverParameters, announced
from recovery.act.escalate import ESCALATE
from recovery.act.notify import NOTIFY
from recovery.act.order import Action
from recovery.act.refresh import REFRESH_ACTION
from recovery.act.release import RELEASE_ACTION
from recovery.act.restart import RESTART
from recovery.act.rollback import ROLLBACK
from recovery.act.sync import SYNC
from recovery.act.terminate import TERMINATE
from recovery.model.action import Traits

_REPOSITORY, _CLUSTER = frozenset({"repository"}), frozenset({"cluster"})

ALL_ACTIONS: dict[str, Action] = {
    "refresh": REFRESH_ACTION,
    "sync": SYNC,
    "terminate": TERMINATE,
    "restart": RESTART,
    "rollback": ROLLBACK,
    "escalate": ESCALATE,
    "notify": NOTIFY,
    "refresh_credentials": announced("refresh_credentials", _REPOSITORY | _CLUSTER),
    "test_connection": announced("test_connection", _REPOSITORY | _CLUSTER),
    "refresh_cluster_config": announced("refresh_cluster_config", _CLUSTER),
    "test_cluster_connectivity": announced("test_cluster_connectivity", _CLUSTER),
    "failover": announced("failover", _CLUSTER, FailoverParameters),
    "release": RELEASE_ACTION,
}

INTERNAL = frozenset({"release"})
"""What the judgement asks for by itself; policies may not name it."""

KINDS: Mapping[str, Traits] = {name: action.traits for name, action in ALL_ACTIONS.items() if name not in INTERNAL}
"""What a policy file may name."""
