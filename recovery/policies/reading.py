"""YAML nodes to typed values, by msgspec's own description of the types; all errors, each with its
place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml
from msgspec import Struct, inspect

from recovery.model.duration import Duration
from recovery.policies import habits

T = TypeVar("T")


class Problem(Struct, frozen=True, order=True):
    """One thing that is wrong, and where: line and column count from 1, 0 where there is no
    place."""

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return place + (f"{self.path}: " if self.path else "") + self.message


class Missing:
    """Stands for a value that could not be read; its problem has been noted."""


MISSING = Missing()
_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "map": "a mapping",
    "seq": "a list",
}


def kind_of(node: yaml.Node) -> str:
    """``str``, ``int``, ``bool``, ``map`` ... as YAML 1.1 resolves it."""
    return node.tag.removeprefix(_TAG)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'restart'?`` or the whole list when it is short and nothing is close."""
    known = sorted(known)
    if close := get_close_matches(word, known, 1, 0.6):
        return f", did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if known and len(known) <= 16 else ""


def readable(items: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Those that could be read, with their places in the list."""
    for index, item in enumerate(items):
        if not isinstance(item, Missing):
            yield index, item


class Reader:
    """Reads nodes and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.places: dict[str, yaml.Node] = {}
        """Where each path was written, for what is found wrong later."""

    def wrong(self, where: yaml.Node | None, path: str, message: str) -> Missing:
        """Note a problem; the place is the node's, or that of the nearest written parent."""
        node = where or self._nearest(path)
        line, column = (node.start_mark.line + 1, node.start_mark.column + 1) if node else (0, 0)
        self.problems.append(Problem(line, column, path, message))
        return MISSING

    def also(self, where: yaml.Node | None, path: str, message: str) -> Missing:
        """Note what is wrong on a second look; not where something is wrong already, of which it
        may only follow."""
        if any(
            p.path == path or p.path.startswith((f"{path}.", f"{path}[")) for p in self.problems
        ):
            return MISSING
        return self.wrong(where, path, message)

    def _nearest(self, path: str) -> yaml.Node | None:
        while path:
            if path in self.places:
                return self.places[path]
            path = re.sub(r"(\.[^.\[\]]+|\[\d+\])$|^[^.\[\]]+$", "", path)
        return None

    def read(self, node: yaml.Node, kind: inspect.Type, path: str) -> Any:
        """The value of this type, or MISSING after noting why not."""
        self.places[path] = node
        match kind:
            case inspect.Metadata():
                return self.read(node, kind.type, path)
            case inspect.StructType():
                return self._struct(node, kind, path)
            case inspect.UnionType():
                return self._union(node, kind, path)
            case inspect.VarTupleType():
                return self._list(node, kind, path)
            case inspect.DictType():
                return self._mapping(node, kind.value_type, path)
            case inspect.AnyType():
                return self._any(node, path)
            case _:
                return self._scalar(node, kind, path)

    def _struct(self, node: yaml.Node, kind: inspect.StructType, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._expected(
                node, path, "a mapping with " + ", ".join(f.encode_name for f in kind.fields)
            )
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, Any] = {}
        broken = False
        for key, key_node, value_node in self._entries(node, path):
            below = f"{path}.{key}" if path else key
            field = fields.get(key)
            if field is None:
                self._unknown(key_node, value_node, path, fields)
            elif kind_of(value_node) == "null":
                self.places[below] = value_node
                continue  # `parameters:` with nothing after it is as good as absent
            else:
                values[field.name] = self.read(value_node, field.type, below)
                broken = broken or values[field.name] is MISSING
        for name, field in fields.items():
            if field.required and field.name not in values:
                self.wrong(node, path, f"{name!r} is missing")
                broken = True
        # What else is wrong is to be found as well: a part that cannot be read is as if it were not
        # written, where that may be.
        broken = broken and any(
            field.required and values.get(field.name, MISSING) is MISSING
            for field in fields.values()
        )
        if broken:
            return MISSING
        values = {name: value for name, value in values.items() if value is not MISSING}
        try:
            return kind.cls(**values)
        except ValueError as error:
            return self.wrong(node, path, str(error))

    def _unknown(
        self,
        key_node: yaml.Node,
        value_node: yaml.Node,
        path: str,
        fields: Mapping[str, inspect.Field],
    ) -> None:
        """Say what is meant, and read what stands below it as that."""
        key = str(key_node.value)
        habit = habits.about_key(path, key, fields)
        below = f"{path}.{key}" if path else key
        self.wrong(
            key_node,
            below,
            f"unknown key {key!r}" + (f": {habit}" if habit else did_you_mean(key, fields)),
        )
        near = (
            re.findall(r"did you mean '([^']+)'\?", habit)
            or get_close_matches(habits.snake(key), fields, 1, 0.6)
        )[:1]
        for name in near:
            if name in fields and below not in self.places:
                self.read(value_node, fields[name].type, below)

    def _entries(
        self, node: yaml.MappingNode, path: str
    ) -> Iterable[tuple[str, yaml.Node, yaml.Node]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.wrong(key_node, path, "a key has to be a word")
                continue
            key = str(key_node.value)
            if key in seen:
                self.wrong(
                    key_node,
                    f"{path}.{key}" if path else key,
                    f"{key!r} stands here twice, first in line {seen[key]}",
                )
                continue
            seen[key] = key_node.start_mark.line + 1
            yield key, key_node, value_node

    def _union(self, node: yaml.Node, kind: inspect.UnionType, path: str) -> Any:
        # "one, or a list of them", and "or nothing": that is all the grammar has.
        lists = [t for t in kind.types if isinstance(t, inspect.VarTupleType)]
        others = [
            t for t in kind.types if not isinstance(t, inspect.VarTupleType | inspect.NoneType)
        ]
        if isinstance(node, yaml.SequenceNode) and lists:
            return self.read(node, lists[0], path)
        return self.read(node, (others or lists)[0], path)

    def _list(self, node: yaml.Node, kind: inspect.VarTupleType, path: str) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            return self._expected(node, path, "a list")
        values = tuple(
            self.read(item, kind.item_type, f"{path}[{i}]") for i, item in enumerate(node.value)
        )
        if kind.min_length is not None and len(values) < kind.min_length:
            return self.wrong(node, path, f"at least {kind.min_length} is needed")
        if kind.max_length is not None and len(values) > kind.max_length:
            return self.wrong(
                node, path, f"{len(values)} entries; at most {kind.max_length} are allowed"
            )
        if all(v is MISSING for v in values):
            return MISSING if values else values
        # A list of structures keeps the places of those that cannot be read: the others are looked
        # at all the same.
        return (
            values
            if isinstance(kind.item_type, inspect.StructType)
            else tuple(v for v in values if v is not MISSING)
        )

    def _mapping(self, node: yaml.Node, kind: inspect.Type, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self._expected(node, path, "a mapping")
        values = {
            key: self.read(value, kind, f"{path}.{key}")
            for key, _, value in self._entries(node, path)
        }
        return {key: value for key, value in values.items() if value is not MISSING}

    def _any(self, node: yaml.Node, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {
                key: self._any(value, f"{path}.{key}")
                for key, _, value in self._entries(node, path)
            }
        if isinstance(node, yaml.SequenceNode):
            return [self._any(item, f"{path}[{i}]") for i, item in enumerate(node.value)]
        return self._construct(node, path)

    def _construct(self, node: yaml.Node, path: str) -> Any:
        """The plain value of a scalar; PyYAML's constructors raise all sorts of things on odd
        ones."""
        try:
            return yaml.CSafeLoader("").construct_object(node)
        except (
            yaml.YAMLError,
            ValueError,
            IndexError,
            KeyError,
            AttributeError,
            OverflowError,
            TypeError,
        ) as error:
            return self.wrong(
                node, path, f"{str(node.value)[:80]!r} cannot be read: {type(error).__name__}"
            )

    def _scalar(self, node: yaml.Node, kind: inspect.Type, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._expected(node, path, _words(kind))
        found, text = kind_of(node), str(node.value)
        match kind:
            case inspect.BoolType() if found == "bool":
                return text.lower() in ("yes", "true", "on")
            case inspect.IntType() if found == "int":
                return self._bounded(node, kind, path, self._construct(node, path))
            case inspect.FloatType() if found in ("int", "float"):
                return self._bounded(node, kind, path, self._construct(node, path))
            case inspect.StrType() if found in ("str", "timestamp"):
                if kind.pattern and not re.search(
                    re.sub(r"\$$", r"\\Z", kind.pattern), text, re.ASCII
                ):
                    form = habits.about_form(path)
                    words = (
                        f"is not right: {form}"
                        if form
                        else f"does not have the form {kind.pattern}"
                    )
                    return self.wrong(node, path, f"{text[:80]!r} {words}")
                return text
            case inspect.EnumType() if found == "str":
                return self._word(node, kind, path, text)
            case inspect.CustomType() if kind.cls is Duration and found == "str":
                try:
                    return Duration.parse(text)
                except ValueError as error:
                    return self.wrong(node, path, str(error))
            case _:
                return self._expected(node, path, _words(kind))

    def _bounded(
        self, node: yaml.Node, kind: inspect.IntType | inspect.FloatType, path: str, value: Any
    ) -> Any:
        if value is MISSING:
            return MISSING
        # Not "too small or too large": what is no number at all is neither.
        if not ((kind.ge is None or value >= kind.ge) and (kind.le is None or value <= kind.le)):
            upper = f" to {kind.le}" if kind.le is not None else " or more"
            written = str(node.value)[:40]
            return self.wrong(
                node,
                path,
                f"{written} is out of range: {kind.ge if kind.ge is not None else 0}{upper}",
            )
        return value

    def _word(self, node: yaml.Node, kind: inspect.EnumType, path: str, text: str) -> Any:
        by_value = {member.value: member for member in kind.cls}
        if text in by_value:
            return by_value[text]
        meant = habits.about_word(text, by_value)
        return self.wrong(
            node,
            path,
            f"unknown word {text!r}"
            + (f", did you mean {meant!r}?" if meant else did_you_mean(text, by_value)),
        )

    def _expected(self, node: yaml.Node, path: str, wanted: str) -> Missing:
        found = kind_of(node)
        written = (
            f" {node.value!r}" if isinstance(node, yaml.ScalarNode) and found != "null" else ""
        )
        hint = (
            "; put it in quotes to make it text"
            if wanted == "text" and isinstance(node, yaml.ScalarNode)
            else ""
        )
        if (form := habits.about_form(path)) and wanted == "text" and found in ("int", "float"):
            hint = f"; {form}"
        if re.search(r"actions\[\d+\]$", path) and isinstance(node, yaml.ScalarNode):
            hint = f"; write '- type: {node.value}'"
        return self.wrong(
            node, path, f"expected {wanted}, found {_PLAIN.get(found, found)}{written[:80]}{hint}"
        )


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.CustomType():
            return "a Go duration such as 90s, 10m or 1h30m"
        case inspect.EnumType():
            return "one of " + ", ".join(str(member.value) for member in kind.cls)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case _:
            return "text"


__all__ = ["MISSING", "Missing", "Problem", "Reader", "did_you_mean", "readable"]
