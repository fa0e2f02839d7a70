"""Monitors of what no reconciler looks at: clocks, pauses, circuits, holds, failover targets.

Each is a value with ``run`` or ``check``; ``app`` starts them. They tell people through the
dispatcher, and change nothing but what they are named for.
"""
