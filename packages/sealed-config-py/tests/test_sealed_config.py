from __future__ import annotations

import json
import os
import unittest
import uuid
from decimal import Decimal
from unittest import mock

from sealed_config import KeyRing, KeyRingError, OpenError, SealError, decrypt_config, encrypt_config

KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
OTHER = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
ROW = {"organization_id": "9d0c1f7a-5e42-4b6d-8a3f-c2b7e6014d95", "id": "4a7be0d3-1c98-4f25-b06e-83d9f5a2c71e"}


class SealedConfigTest(unittest.TestCase):
    def setUp(self) -> None:
        self.ring = KeyRing(KEY)

    def assert_refused(self, config: object, fault: str, pointer: str) -> None:
        with self.assertRaises(SealError) as caught:
            self.ring.seal(ROW, config)  # type: ignore[arg-type]
        self.assertEqual((caught.exception.fault, caught.exception.pointer), (fault, pointer))

    def test_refuses_to_seal_what_is_no_json(self) -> None:
        for value in (float("nan"), float("inf"), Decimal("NaN"), (1,), {1}, b"x", object()):
            self.assert_refused({"a": [value]}, "not-json", "/a/0")
            self.assert_refused({"a_token": value}, "wrong-type", "/a_token")
        self.assert_refused({"a": {1: 2}}, "not-json", "/a")
        self.assert_refused([], "no-object", "")
        self.assert_refused({"token": "x\ud800"}, "not-text", "/token")
        self.assert_refused({"a": {"\udc00": 1}}, "not-text", "/a")

    def test_keeps_integers_and_decimals_of_any_size(self) -> None:
        text = '{"a": 123456789012345678901234567890, "b": 0.12345678901234567890, "token": "x"}'
        config = json.loads(text, parse_float=Decimal)
        stored = self.ring.seal(ROW, config)
        self.assertEqual((stored["a"], str(stored["b"])), (123456789012345678901234567890, "0.12345678901234567890"))
        self.assertEqual(self.ring.open(ROW, stored), config)

    def test_reads_2_0_as_version_2_and_true_as_none(self) -> None:
        stored = self.ring.seal(ROW, {"token": "x"})
        stored["_enc"]["v"] = 2.0
        self.assertEqual(self.ring.open(ROW, stored), {"token": "x"})
        stored["_enc"]["v"] = True
        with self.assertRaises(OpenError) as caught:
            self.ring.open(ROW, stored)
        self.assertEqual(caught.exception.fault, "malformed-enc")

    def test_takes_the_keys_of_the_environment_and_the_row(self) -> None:
        config = {"access_token": "secret_token", "project_id": "abc123"}
        with mock.patch.dict(os.environ, {"ENCRYPTION_KEY": ""}):
            with self.assertRaisesRegex(KeyRingError, "^ENCRYPTION_KEY environment variable is not set$"):
                encrypt_config(config, ROW)
        with mock.patch.dict(os.environ, {"ENCRYPTION_KEY": KEY}):
            stored = encrypt_config(config, ROW)
        with mock.patch.dict(os.environ, {"ENCRYPTION_KEY": OTHER, "FALLBACK_ENCRYPTION_KEYS": KEY}):
            self.assertEqual(decrypt_config(stored, ROW), config)
            with self.assertRaises(OpenError) as caught:
                decrypt_config(stored, {**ROW, "id": ROW["organization_id"]})
        self.assertEqual(str(caught.exception), "the config does not open")
        self.assertEqual((caught.exception.fault, caught.exception.pointer), ("not-authentic", "/access_token"))

    def test_seals_and_opens_with_the_data_key_of_the_organization(self) -> None:
        config = {"access_token": "secret_token", "project_id": "abc123"}
        organization_id = uuid.UUID(ROW["organization_id"])
        # A key management service unwrapped it.
        kid = KeyRing(OTHER).kids[0]
        given = {"organization_id": organization_id, "kid": kid, "key": OTHER}
        foreign = {**given, "organization_id": ROW["id"]}
        stored = self.ring.seal(ROW, config, [foreign, given])
        self.assertEqual(stored["_enc"], {"v": 3, "kid": kid})
        self.assertEqual(self.ring.open(ROW, stored, [foreign, given]), config)
        for data_keys, fault in (([], "unknown-key"), ([foreign], "unknown-key"), ([{**given, "key": KEY}], "not-authentic")):
            with self.assertRaises(OpenError) as caught:
                self.ring.open(ROW, stored, data_keys)
            self.assertEqual((caught.exception.fault, caught.exception.pointer), (fault, "/_enc"))
        with mock.patch.dict(os.environ, {"ENCRYPTION_KEY": KEY}):
            self.assertEqual(decrypt_config(encrypt_config(config, ROW, [given]), ROW, [given]), config)

    def test_does_not_seal_with_the_primary_key_where_the_data_key_does_not_open(self) -> None:
        wrapped = {"organization_id": ROW["organization_id"], "kid": "0" * 16, "wrapping_kid": "1" * 16, "wrapped": "x"}
        with self.assertRaisesRegex(KeyRingError, "^the organization's data key does not open: unknown-key$"):
            self.ring.seal(ROW, {"token": "x"}, [wrapped])

    def test_refuses_a_key_that_is_none_and_one_twice_without_quoting_it(self) -> None:
        for primary, fallbacks in (("", ""), ("secret!", ""), ("c2VjcmV0", ""), (KEY, KEY), (KEY, OTHER + ",")):
            with self.assertRaises(KeyRingError) as caught:
                KeyRing(primary, fallbacks)
            self.assertNotRegex(str(caught.exception), "secret|c2V|AQEB|AgIC")
        self.assertNotRegex(repr(self.ring), "AQEB")


if __name__ == "__main__":
    unittest.main()
