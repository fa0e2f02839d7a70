"""Whether what was seen is what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase

from msgspec import Struct

from recovery.model.recovery import RecoveryPhase
from recovery.policytest.grammar import ExpectText
from recovery.policytest.observation import Observation, Of, Seen, stamp

TOLERANCE = timedelta(seconds=15)
"""How far from ``at`` an action or a message may be: looks are spread over time."""
AROUND = timedelta(minutes=5)
"""How much of the transcript is shown before and after what failed."""


class Failure(Struct, frozen=True):
    """An expectation that was not met."""

    expect: int
    """Its place in the test's list."""
    message: str
    around: tuple[timedelta, timedelta]
    """Which part of the transcript shows it."""


def judge(expects: tuple[ExpectText, ...], observation: Observation) -> list[Failure]:
    """All that was not met, in the order of the expectations."""
    return [
        failure
        for number, expect in enumerate(expects)
        for failure in _judge(number, expect, observation)
    ]


def _judge(number: int, expect: ExpectText, observation: Observation) -> Iterator[Failure]:
    if expect.never:
        yield from _never(number, expect, observation)
        return
    kind = next(name for name in RECOGNISED_BY if getattr(expect, name) not in (None, "", ()))
    check = RECOGNISED_BY[kind]
    of_it = [s for s in observation.seen if _about(expect, s) and check(expect, s)]
    instant = expect.at is not None and kind in LASTING
    met = [s for s in of_it if _in_time(expect, s, instant=instant)]
    told_count = expect.told.count if expect.told else None
    wanted = told_count if told_count is not None else expect.count
    if (len(met) == wanted) if wanted is not None else met:
        return
    found = (
        f"{len(met)} times" if wanted is not None and met else _nearest(of_it, kind, observation)
    )
    yield Failure(number, f"{_sentence(expect, kind)}: {found}", _window(expect))


def _never(number: int, expect: ExpectText, observation: Observation) -> Iterator[Failure]:
    words = (expect.never,) if isinstance(expect.never, str) else expect.never
    for seen in observation.seen:
        word = next((word for word in words if _is(word, seen)), "")
        if word and _about(expect, seen) and _overlaps(expect, seen):
            message = f"expected never {word}: {' '.join(seen.line.split())}"
            yield Failure(number, message, (seen.at - AROUND, seen.at + AROUND))
            return


def _is(word: str, seen: Seen) -> bool:
    match word:
        case "any":
            return seen.of in (Of.action, Of.write, Of.told)
        case "write":
            return seen.of is Of.write
        case "told":
            return seen.of is Of.told
        case _ if word in RecoveryPhase.__members__:
            return seen.of is Of.phase and seen.what == word
        case _:
            return seen.of is Of.action and seen.what == word


def _about(expect: ExpectText, seen: Seen) -> bool:
    if seen.at < timedelta():
        # Before the test began; what lasts into it counts.
        if seen.until is not None and seen.until <= timedelta():
            return False
        if seen.of in (Of.action, Of.told, Of.write):
            return False
    if expect.policy and expect.policy != seen.policy:
        return False
    wanted = next(
        (
            (kind, getattr(expect, kind))
            for kind in ("app", "cluster", "repository")
            if getattr(expect, kind)
        ),
        None,
    )
    return wanted is None or (seen.kind == wanted[0] and fnmatchcase(seen.name, wanted[1]))


def _action(expect: ExpectText, seen: Seen) -> bool:
    return (
        seen.of is Of.action
        and seen.what == expect.action
        and (expect.result is None or seen.result == expect.result.value)
        and _says(expect.message, seen.message)
    )


def _phase(expect: ExpectText, seen: Seen) -> bool:
    return (
        seen.of is Of.phase
        and expect.phase is not None
        and seen.what == expect.phase.value
        and _says(expect.message, seen.message)
    )


def _refused(expect: ExpectText, seen: Seen) -> bool:
    return (
        seen.of is Of.refused
        and seen.what == expect.refused_by
        and _says(expect.message, seen.message)
    )


def _state(expect: ExpectText, seen: Seen) -> bool:
    words = [w.value for w in (expect.sync, expect.health) if w is not None]
    return seen.of is Of.state and set(words) <= set(seen.what.split())


def _told(expect: ExpectText, seen: Seen) -> bool:
    told = expect.told
    return (
        seen.of is Of.told
        and told is not None
        and (not told.channel or told.channel == seen.what)
        and (told.severity is None or told.severity.value == seen.severity)
        and _says(told.message, f"{seen.message}\n{seen.result}")
    )


RECOGNISED_BY: Mapping[str, Callable[[ExpectText, Seen], bool]] = {
    "action": _action,
    "phase": _phase,
    "refused_by": _refused,
    "told": _told,
    "sync": _state,
    "health": _state,
}
"""What an expectation is of, and how it is recognised."""
LASTING = frozenset({"phase", "refused_by", "sync", "health"})
"""``at`` asks whether it is so then, not whether it began then."""


def _says(pattern: str, text: str) -> bool:
    return not pattern or re.search(pattern, text) is not None


def _in_time(expect: ExpectText, seen: Seen, *, instant: bool) -> bool:
    if expect.at is not None:
        near = abs(seen.at - expect.at) <= TOLERANCE
        return seen.lasted_at(expect.at) if instant else near
    if expect.within and not expect.within[0] <= seen.at <= expect.within[1]:
        return False
    if expect.before is not None and seen.at > expect.before:
        return False
    return expect.after is None or seen.at >= expect.after


def _overlaps(expect: ExpectText, seen: Seen) -> bool:
    """Whether it was so at any moment of the time that is meant: what lasts may have begun
    before."""
    if seen.of is not Of.phase:
        return _in_time(expect, seen, instant=False)
    if expect.at is not None:
        return seen.lasted_at(expect.at)
    first = expect.within[0] if expect.within else expect.after or timedelta()
    last = expect.within[1] if expect.within else expect.before
    return (seen.until is None or seen.until > first) and (last is None or seen.at <= last)


def _sentence(expect: ExpectText, kind: str) -> str:
    """The expectation in words."""
    if expect.told is not None:
        told = expect.told
        parts = [f"told {told.channel or 'anybody'}"]
        parts += [told.severity.value] if told.severity else []
        parts += [f"{told.count} times"] if told.count is not None else []
        parts += [f"with /{told.message}/"] if told.message else []
    elif kind in ("sync", "health"):
        parts = [w.value for w in (expect.sync, expect.health) if w is not None]
    else:
        value = getattr(expect, kind)
        parts = [f"{kind.replace('_', ' ')} {getattr(value, 'value', value)}"]
        parts += [expect.result.value] if expect.result else []
        parts += [f"{expect.count} times"] if expect.count is not None else []
        parts += [f"with /{expect.message}/"] if expect.message else []
    subject = expect.app or expect.cluster or expect.repository
    when = [
        f"at {stamp(expect.at)}" if expect.at is not None else "",
        f"within {stamp(expect.within[0])} to {stamp(expect.within[1])}" if expect.within else "",
        f"before {stamp(expect.before)}" if expect.before is not None else "",
        f"after {stamp(expect.after)}" if expect.after is not None else "",
    ]
    of = f"of {subject}" if subject else ""
    return "expected " + " ".join(filter(None, [*parts, of, *when]))


def _nearest(of_it: list[Seen], kind: str, observation: Observation) -> str:
    """Describe what there was instead."""
    if of_it:
        return "it was so " + ", ".join(f"at {stamp(s.at)}" for s in of_it[:5])
    wanted = (
        Of.refused if kind == "refused_by" else Of.state if kind in ("sync", "health") else Of(kind)
    )
    others = dict.fromkeys(
        f"{s.what} {s.result if s.of is Of.action else ''}".strip()
        for s in observation.seen
        if s.of is wanted and s.at >= timedelta()
    )
    return f"there was {', '.join(list(others)[:8])}" if others else "there was none"


def _window(expect: ExpectText) -> tuple[timedelta, timedelta]:
    first = expect.at or (expect.within[0] if expect.within else None) or expect.after
    last = expect.at or (expect.within[1] if expect.within else None) or expect.before
    low = first - AROUND if first is not None else timedelta()
    return max(low, timedelta()), last + AROUND if last is not None else timedelta.max
