"""Ways of writing bytes. Whatever it is, one text is right for some bytes and every other is refused."""

from __future__ import annotations

import base64
import binascii
import re


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes | None:
    """Canonical base64 with padding."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if to_base64(data) == text else None


def from_loose_base64(text: str) -> bytes | None:
    """One alphabet or the other, padded or not, but never with bits after the end."""
    standard = text
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            return None
        standard = text.replace("-", "+").replace("_", "/")
    return from_base64(standard if text.endswith("=") else standard + "=" * (-len(text) % 4))


def from_hex(text: str) -> bytes | None:
    # bytes.fromhex alone would take white space.
    return bytes.fromhex(text) if re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", text) else None
