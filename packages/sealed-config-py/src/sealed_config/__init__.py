"""Opens and seals the configs of sealed OAuth integrations (docs/format.md), over ``cryptography``."""

from ._config import Config, Row, is_sensitive
from ._errors import KeyRingError, OpenError, SealedConfigError, SealError
from ._ring import DataKey, KeyRing, decrypt_config, encrypt_config

__all__ = [
    "Config",
    "DataKey",
    "KeyRing",
    "KeyRingError",
    "OpenError",
    "Row",
    "SealError",
    "SealedConfigError",
    "decrypt_config",
    "encrypt_config",
    "is_sensitive",
]
