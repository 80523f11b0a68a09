"""The keys of a deployment, and what they seal and open."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ._config import MAX_TEXT, MAX_VALUE, Config, Walk, ids_of
from ._encodings import from_base64, from_hex, from_loose_base64, to_base64
from ._errors import Found, KeyRingError, OpenError, SealError


@dataclass(frozen=True)
class _Key:
    kid: str
    cipher: AESGCM = field(repr=False)


class KeyRing:
    """The primary key seals, and every key opens.

    ``primary`` is what ``ENCRYPTION_KEY`` holds, base64 of 32 bytes; ``fallbacks`` is what ``FALLBACK_ENCRYPTION_KEYS`` holds, separated
    by commas, or an iterable of keys.
    """

    def __init__(self, primary: str, fallbacks: str | Iterable[str] = ()) -> None:
        if isinstance(fallbacks, str):
            fallbacks = fallbacks.split(",") if fallbacks.strip() else ()
        self._keys = [_read_key(text) for text in (primary, *fallbacks)]
        kids = self.kids
        for kid in kids:
            if kids.count(kid) > 1:
                raise KeyRingError(f"the key {kid} is in the ring twice")

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.kids)})"

    @property
    def kids(self) -> list[str]:
        """The ids of the keys, the primary's first."""
        return [key.kid for key in self._keys]

    def seal(self, row: Mapping[str, Any], config: Config) -> Config:
        """A copy of the config with its secrets sealed for the row, and ``_enc``. Raises :class:`SealError`."""
        return self._seal(row, config, lambda _: os.urandom(12))

    def _seal(self, row: Mapping[str, Any], config: Config, nonce: Callable[[str], bytes]) -> Config:
        key = self._keys[0]
        ids = ids_of(row)
        try:
            if isinstance(config, dict) and "_enc" in config:
                raise Found("reserved-name", "/_enc")
            walk = Walk(config, MAX_TEXT)
            for secret in walk.secrets:
                if len(secret.text.encode()) > MAX_VALUE:
                    raise Found("too-large", secret.pointer)
        except Found as found:
            raise SealError(found.fault, found.pointer) from None
        for secret in walk.secrets:
            iv = nonce(secret.pointer)
            sealed = key.cipher.encrypt(iv, secret.text.encode(), _aad(*ids, secret.pointer, key.kid))
            secret.put(".".join(map(to_base64, (iv, sealed[-16:], sealed[:-16]))))
        if walk.secrets:
            walk.copy["_enc"] = {"v": 2, "kid": key.kid}
        return walk.copy

    def open(self, row: Mapping[str, Any], stored: Config) -> Config:
        """A copy of the config, of the current or the legacy form, with its secrets in the clear. Raises :class:`OpenError`."""
        ids = ids_of(row)
        try:
            key = self._key_of(stored)
            walk = Walk(stored, 2 * MAX_TEXT)
            for secret in walk.secrets:
                if key:
                    data = _open_current(key, secret.text, secret.pointer, _aad(*ids, secret.pointer, key.kid))
                else:
                    data = self._open_legacy(secret.text, secret.pointer)
                try:
                    secret.put(data.decode())
                except UnicodeDecodeError:
                    raise Found("not-text", secret.pointer) from None
        except Found as found:
            raise OpenError(found.fault, found.pointer) from None
        return walk.copy

    def _key_of(self, stored: object) -> _Key | None:
        if not isinstance(stored, dict) or "_enc" not in stored:
            return None
        kid = _read_enc(stored["_enc"])
        for key in self._keys:
            if key.kid == kid:
                return key
        raise Found("unknown-key", "/_enc")

    def _open_legacy(self, text: str, pointer: str) -> bytes:
        if text == "":
            return b""
        head = _read_head(text)
        if not head:
            raise Found("not-sealed", pointer)
        fault = "malformed"
        for read in (from_hex, from_loose_base64) if head.is_hex else (from_loose_base64, from_hex):
            data = _decode(head.ciphertext, read)
            if data == "malformed":
                continue
            if isinstance(data, str):
                fault = data
                continue
            fault = "not-authentic"
            for key in self._keys:
                try:
                    return key.cipher.decrypt(head.iv, data + head.tag, None)
                except InvalidTag:
                    pass
        raise Found(fault, pointer)


def _read_key(text: str) -> _Key:
    if not isinstance(text, str):
        raise KeyRingError("a key is a string: base64 of 32 bytes")
    text = text.strip()
    data = from_loose_base64(text) if len(text) <= 256 else None
    if data is None:
        raise KeyRingError("the key is not base64")
    if len(data) != 32:
        raise KeyRingError(f"the key has {len(data)} bytes instead of 32")
    mac = hmac.HMAC(data, hashes.SHA256())
    mac.update(b"integrations key id v1")
    return _Key(mac.finalize()[:8].hex(), AESGCM(data))


def _aad(organization_id: str, row_id: str, pointer: str, kid: str) -> bytes:
    parts = [part.encode() for part in ("v2", "integrations", organization_id, row_id, pointer, kid)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _read_enc(enc: object) -> str:
    v = enc.get("v") if isinstance(enc, dict) else None
    if not isinstance(enc, dict) or isinstance(v, (bool, str, dict, list)) or v is None:
        raise Found("malformed-enc", "/_enc")
    if v != 2:
        raise Found("unknown-version", "/_enc")
    kid = enc.get("kid")
    if len(enc) != 2 or not isinstance(kid, str) or not re.fullmatch("[0-9a-f]{16}", kid):
        raise Found("malformed-enc", "/_enc")
    return kid


def _open_current(key: _Key, text: str, pointer: str, aad: bytes) -> bytes:
    head = _read_head(text)
    if not head:
        raise Found("not-sealed", pointer)
    # Canonical, if the same bytes are written so.
    if len(head.iv) != 12 or not text.startswith(f"{to_base64(head.iv)}.{to_base64(head.tag)}."):
        raise Found("malformed", pointer)
    data = _decode(head.ciphertext, from_base64)
    if isinstance(data, str):
        raise Found(data, pointer)
    try:
        return key.cipher.decrypt(head.iv, data + head.tag, aad)
    except InvalidTag:
        raise Found("not-authentic", pointer) from None


@dataclass
class _Head:
    iv: bytes
    tag: bytes
    ciphertext: str
    is_hex: bool


def _read_head(text: str) -> _Head | None:
    """A value with an iv and a tag, written in any of the legacy form's ways."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    iv = _fixed(parts[0], 12) or _fixed(parts[0], 16)
    tag = _fixed(parts[1], 16)
    return _Head(iv, tag, parts[2], len(parts[1]) == 32) if iv and tag else None


def _fixed(text: str, length: int) -> bytes | None:
    if len(text) > 2 * length:
        return None
    data = from_hex(text) if len(text) == 2 * length else from_loose_base64(text)
    return data if data is not None and len(data) == length else None


def _decode(ciphertext: str, read: Callable[[str], bytes | None]) -> bytes | str:
    """The bytes, or the fault."""
    if len(ciphertext.encode()) > 2 * MAX_VALUE:
        return "too-large"
    data = read(ciphertext)
    if data is None:
        return "malformed"
    return "too-large" if len(data) > MAX_VALUE else data


_known: tuple[tuple[str, str], KeyRing] | None = None


def _environment_ring() -> KeyRing:
    """The ring of the environment. It is made anew when the variables change, as they do in a test."""
    global _known
    primary = os.environ.get("ENCRYPTION_KEY")
    if not primary:
        raise KeyRingError("ENCRYPTION_KEY environment variable is not set")
    texts = (primary, os.environ.get("FALLBACK_ENCRYPTION_KEYS", ""))
    if _known is None or _known[0] != texts:
        _known = (texts, KeyRing(*texts))
    return _known[1]


def encrypt_config(config: Config, row: Mapping[str, Any]) -> Config:
    """Seals a config for its row, with the key of the environment variable ``ENCRYPTION_KEY``."""
    return _environment_ring().seal(row, config)


def decrypt_config(config: Config, row: Mapping[str, Any]) -> Config:
    """Opens a row's config with ``ENCRYPTION_KEY`` and ``FALLBACK_ENCRYPTION_KEYS``."""
    return _environment_ring().open(row, config)
