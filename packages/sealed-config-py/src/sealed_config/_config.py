"""The walk through a config: which strings are secrets, and where they are."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from ._errors import Found

Config = dict[str, Any]

MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_VALUE = 65_536
MAX_TEXT = 1 << 20

_WORD = re.compile(r"(?:token|key|secret|password)\Z", re.IGNORECASE | re.ASCII)


class Row(TypedDict):
    """As much of a row of ``integrations`` as a sealed value is bound to. Any mapping with these two members will do."""

    organization_id: str | UUID
    id: str | UUID


def ids_of(row: Mapping[str, Any]) -> tuple[str, str]:
    try:
        organization_id, row_id = (UUID(str(row[name])) for name in ("organization_id", "id"))
    except (KeyError, TypeError, ValueError):
        raise ValueError("the row needs its organization_id and its id, both UUIDs") from None
    return str(organization_id), str(row_id)


def is_sensitive(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    found = _WORD.search(name)
    if not found:
        return False
    start = found.start()
    if start == 0:
        return True
    before, first, second = name[start - 1], name[start], name[start + 1]
    capital = "A" <= first <= "Z"
    return (
        not (before.isascii() and before.isalnum())
        or (capital and not "A" <= before <= "Z")
        or (capital and "a" <= second <= "z")
    )


@dataclass
class Secret:
    text: str
    pointer: str
    put: Callable[[str], None]


class Walk:
    """A copy of a config without ``_enc``, and its secrets in the order of the walk."""

    def __init__(self, config: object, max_text: int) -> None:
        if not isinstance(config, dict):
            raise Found("no-object", "")
        self.secrets: list[Secret] = []
        self._values = 0
        self._text = 0
        self._max_text = max_text
        self.copy = self._members(config, "", 1)

    def _add(self, text: str, pointer: str) -> None:
        try:
            self._text += len(text.encode())
        except UnicodeEncodeError:
            raise Found("not-text", pointer) from None
        if self._text > self._max_text:
            raise Found("too-large", pointer)

    def _count(self, name: str, pointer: str) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Found("too-large", pointer)
        self._add(name, pointer)

    def _members(self, members: dict[Any, Any], pointer: str, depth: int) -> Config:
        if not all(isinstance(name, str) for name in members):
            raise Found("not-json", pointer)
        copy: Config = {}
        for name in sorted(members):
            if depth == 1 and name == "_enc":
                continue
            self._count(name, pointer)
            at = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            value = members[name]
            if is_sensitive(name):
                copy[name] = None
                self._secret(copy, name, value, at)
            else:
                copy[name] = self._value(value, at, depth)
        return copy

    def _secret(self, copy: Config, name: str, value: object, pointer: str) -> None:
        if value is None:
            return
        if not isinstance(value, str):
            raise Found("wrong-type", pointer)
        self._add(value, pointer)
        self.secrets.append(Secret(value, pointer, lambda text: copy.__setitem__(name, text)))

    def _value(self, value: object, pointer: str, depth: int) -> object:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, str):
            self._add(value, pointer)
            return value
        if isinstance(value, float) and math.isfinite(value) or isinstance(value, Decimal) and value.is_finite():
            return value
        if not isinstance(value, (dict, list)):
            raise Found("not-json", pointer)
        if depth == MAX_DEPTH:
            raise Found("too-deep", pointer)
        if isinstance(value, dict):
            return self._members(value, pointer, depth + 1)
        return self._elements(value, pointer, depth + 1)

    def _elements(self, elements: list[Any], pointer: str, depth: int) -> list[Any]:
        copy = []
        for index, element in enumerate(elements):
            self._count("", pointer)
            copy.append(self._value(element, f"{pointer}/{index}", depth))
        return copy
