"""What `sealed/examples/lines.rs` does, with packages/sealed-config-py."""

import base64
import functools
import json
import sys

from sealed_config import KeyRing, OpenError, SealError


@functools.cache
def ring_of(keys):
    return KeyRing(keys[0], keys[1:])


def answer(line):
    row = {"organization_id": line["organization_id"], "id": line["integration_id"]}
    ring = ring_of(tuple(line["keys"]))
    data_keys = line.get("data_keys", ())
    try:
        if line["do"] == "open":
            return {"config": ring.open(row, line["config"], data_keys)}
        if "nonces" in line:
            nonces = {pointer: base64.b64decode(nonce) for pointer, nonce in line["nonces"]}
            return {"config": ring._seal(row, line["config"], data_keys, nonces.__getitem__)}
        return {"config": ring.seal(row, line["config"], data_keys)}
    except (OpenError, SealError) as error:
        return {"fault": error.fault, "pointer": error.pointer}


for text in sys.stdin.buffer:
    print(json.dumps(answer(json.loads(text))))
