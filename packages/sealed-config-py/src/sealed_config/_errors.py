from __future__ import annotations

import unicodedata


class SealedConfigError(Exception):
    """What this package raises. No message holds a value or a key."""


class KeyRingError(SealedConfigError):
    """A key, or a ring of keys, is not as it should be."""


class Found(Exception):
    """What a walk or a value's reader finds; whoever seals or opens makes an error of it."""

    def __init__(self, fault: str, pointer: str) -> None:
        super().__init__(fault)
        self.fault = fault
        self.pointer = pointer


class SealError(SealedConfigError):
    """A config was not sealed; ``fault`` is the class, ``pointer`` the JSON Pointer to it, escaped and cut for a log."""

    def __init__(self, fault: str, pointer: str) -> None:
        self.fault = fault
        self.pointer = _whereabouts(pointer)
        super().__init__(f'the config cannot be sealed: {fault} at "{self.pointer}"')


class OpenError(SealedConfigError):
    """A stored config does not open. The message is the same whatever the reason; ``fault`` and ``pointer`` are for the log."""

    def __init__(self, fault: str, pointer: str) -> None:
        self.fault = fault
        self.pointer = _whereabouts(pointer)
        super().__init__("the config does not open")


# Line and paragraph separators, and marks that change the writing direction.
_UNSAFE_TO_SHOW = frozenset(
    map(chr, [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)])
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _whereabouts(pointer: str) -> str:
    shown = "".join(
        _SHORT.get(c, f"\\u{{{ord(c):x}}}") if c in _UNSAFE_TO_SHOW or unicodedata.category(c) == "Cc" else c for c in pointer[:200]
    )
    return shown + "…" if len(pointer) > 200 else shown
