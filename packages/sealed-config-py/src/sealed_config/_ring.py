"""The keys of a deployment, and what they seal and open."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ._config import MAX_TEXT, MAX_VALUE, Config, Walk, ids_of
from ._encodings import from_base64, from_hex, from_loose_base64, to_base64
from ._errors import Found, KeyRingError, OpenError, SealError


# A data key of an organization, as the database's function ``data_keys`` returns it. Where a key management service wraps it, unwrap it there and
# give ``key`` instead: base64 of its 32 bytes.
DataKey = Mapping[str, Any]
DataKeys = Sequence[DataKey]


@dataclass(frozen=True)
class _Key:
    kid: str
    cipher: AESGCM = field(repr=False)


class KeyRing:
    """The primary key seals where an organization has no data key, and every key opens.

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

    def seal(self, row: Mapping[str, Any], config: Config, data_keys: DataKeys = ()) -> Config:
        """A copy of the config with its secrets sealed for the row, and ``_enc``.

        The first data key of the row's organization seals; without one the primary key does. Raises :class:`SealError`, or
        :class:`KeyRingError` if the data key does not open.
        """
        return self._seal(row, config, data_keys, lambda _: os.urandom(12))

    def _seal(self, row: Mapping[str, Any], config: Config, data_keys: DataKeys, nonce: Callable[[str], bytes]) -> Config:
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
        if not walk.secrets:
            return walk.copy
        version, key = self._sealing_key(_of(data_keys, ids[0]))
        for secret in walk.secrets:
            iv = nonce(secret.pointer)
            sealed = key.cipher.encrypt(iv, secret.text.encode(), _aad(version, *ids, secret.pointer, key.kid))
            secret.put(".".join(map(to_base64, (iv, sealed[-16:], sealed[:-16]))))
        walk.copy["_enc"] = {"v": version, "kid": key.kid}
        return walk.copy

    def open(self, row: Mapping[str, Any], stored: Config, data_keys: DataKeys = ()) -> Config:
        """A copy of the config, of any form, with its secrets in the clear. Raises :class:`OpenError`.

        ``data_keys`` are those of the row's organization.
        """
        ids = ids_of(row)
        try:
            version, key = self._key_of(stored, _of(data_keys, ids[0]))
            walk = Walk(stored, 2 * MAX_TEXT)
            for secret in walk.secrets:
                if key:
                    data = _open_current(key, secret.text, secret.pointer, _aad(version, *ids, secret.pointer, key.kid))
                else:
                    data = self._open_legacy(secret.text, secret.pointer)
                try:
                    secret.put(data.decode())
                except UnicodeDecodeError:
                    raise Found("not-text", secret.pointer) from None
        except Found as found:
            raise OpenError(found.fault, found.pointer) from None
        return walk.copy

    def _sealing_key(self, data_keys: DataKeys) -> tuple[int, _Key]:
        if not data_keys:
            return 2, self._keys[0]
        try:
            return 3, self._unwrap(data_keys[0])
        except Found as found:
            raise KeyRingError(f"the organization's data key does not open: {found.fault}") from None

    def _key_of(self, stored: object, data_keys: DataKeys) -> tuple[int, _Key | None]:
        if not isinstance(stored, dict) or "_enc" not in stored:
            return 1, None
        version, kid = _read_enc(stored["_enc"])
        if version == 3:
            for row in data_keys:
                if row["kid"] == kid:
                    return version, self._unwrap(row)
            raise Found("unknown-key", "/_enc")
        return version, self._named(kid)

    def _named(self, kid: object) -> _Key:
        for key in self._keys:
            if key.kid == kid:
                return key
        raise Found("unknown-key", "/_enc")

    def _unwrap(self, row: DataKey) -> _Key:
        if "key" in row:
            opened = _read_key(row["key"])
        else:
            wrapping = self._named(row["wrapping_kid"])
            bound = _prefixed("v3", "data_keys", str(row["organization_id"]).lower(), row["kid"], wrapping.kid)
            data = _open_current(wrapping, row["wrapped"], "/_enc", bound)
            if len(data) != 32:
                raise Found("malformed", "/_enc")
            opened = _key(data)
        if opened.kid != row["kid"]:
            raise Found("not-authentic", "/_enc")
        return opened

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
    return _key(data)


def _key(data: bytes) -> _Key:
    mac = hmac.HMAC(data, hashes.SHA256())
    mac.update(b"integrations key id v1")
    return _Key(mac.finalize()[:8].hex(), AESGCM(data))


def _of(data_keys: DataKeys, organization_id: str) -> DataKeys:
    return [row for row in data_keys if str(row["organization_id"]).lower() == organization_id]


def _aad(version: int, organization_id: str, row_id: str, pointer: str, kid: str) -> bytes:
    return _prefixed(f"v{version}", "integrations", organization_id, row_id, pointer, kid)


def _prefixed(*texts: str) -> bytes:
    parts = [text.encode() for text in texts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _read_enc(enc: object) -> tuple[int, str]:
    v = enc.get("v") if isinstance(enc, dict) else None
    if not isinstance(enc, dict) or isinstance(v, (bool, str, dict, list)) or v is None:
        raise Found("malformed-enc", "/_enc")
    if v not in (2, 3):
        raise Found("unknown-version", "/_enc")
    kid = enc.get("kid")
    if len(enc) != 2 or not isinstance(kid, str) or not re.fullmatch("[0-9a-f]{16}", kid):
        raise Found("malformed-enc", "/_enc")
    return int(v), kid


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


def encrypt_config(config: Config, row: Mapping[str, Any], data_keys: DataKeys = ()) -> Config:
    """Seals a config with the organization's data key, or without one with the key of the environment variable ``ENCRYPTION_KEY``."""
    return _environment_ring().seal(row, config, data_keys)


def decrypt_config(config: Config, row: Mapping[str, Any], data_keys: DataKeys = ()) -> Config:
    """Opens a row's config with ``ENCRYPTION_KEY`` and ``FALLBACK_ENCRYPTION_KEYS``, and the data keys that they unwrap."""
    return _environment_ring().open(row, config, data_keys)
