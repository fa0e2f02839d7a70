"""Policy text to policies: every error at once, each with its place and what would be right."""

from recovery.policies.parse import KEY, Defaults, InvalidPolicies, parse, steps_from
from recovery.policies.reading import Problem

__all__ = ["KEY", "Defaults", "InvalidPolicies", "Problem", "parse", "steps_from"]
