"""A DHT node of the PyPI package libtorrent, led by lines of JSON on standard input:

    python libtorrent_node.py ADDRESS [BOOTSTRAP]

Keys, values (bencoded) and so on are hexadecimal.
"""

import hashlib
import json
import sys
import time

import libtorrent as lt

PATIENCE = 10


def address(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


session = lt.session({
    "listen_interfaces": address(sys.argv[1], 0),
    "dht_bootstrap_nodes": ",".join(sys.argv[2:]),
    "enable_dht": True,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    # On loopback there is but one IPv6 address.
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    # A test asks in a second what others ask in an hour.
    "dht_upload_rate_limit": 1_000_000,
    "dht_block_ratelimit": 1_000,
    "alert_mask": lt.alert_category.dht | lt.alert_category.dht_operation | lt.alert_category.status,
})


def alerts(kind):
    """Alerts of this kind as they come, until patience ends."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        session.wait_for_alert(100)
        yield from (alert for alert in session.pop_alerts() if isinstance(alert, kind))


def expanded(secret):
    """libtorrent's private key: the hash of the seed, clamped."""
    key = bytearray(hashlib.sha512(secret).digest())
    key[0] &= 248
    key[31] = key[31] & 63 | 64
    return bytes(key)


def put(value, secret=None, key=None, salt="", **_):
    value = lt.bdecode(bytes.fromhex(value))
    if key is None:
        session.dht_put_immutable_item(value)
    else:
        secret, key, salt = (bytes.fromhex(text) for text in (secret, key, salt))
        session.dht_put_mutable_item(expanded(secret), key, value, salt)
    stored = next((alert.num_success for alert in alerts(lt.dht_put_alert)), 0)
    return {"stored": stored}


def get(target, key=None, salt="", **_):
    if key is None:
        session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(target)))
        found = next(alerts(lt.dht_immutable_item_alert), None)
    else:
        session.dht_get_mutable_item(bytes.fromhex(key), bytes.fromhex(salt))
        found = next((alert for alert in alerts(lt.dht_mutable_item_alert) if alert.authoritative), None)
    if found is None or found.item is None:
        return {"value": None}
    return {"value": lt.bencode(found.item).hex(), "seq": getattr(found, "seq", None)}


def announce(info_hash, port, **_):
    session.dht_announce(lt.sha1_hash(bytes.fromhex(info_hash)), port)
    return {}


def peers(info_hash, **_):
    session.dht_get_peers(lt.sha1_hash(bytes.fromhex(info_hash)))
    found = next(alerts(lt.dht_get_peers_reply_alert), None)
    return {"peers": [address(*peer) for peer in found.peers()] if found else []}


def say(line):
    print(json.dumps(line), flush=True)


if sys.argv[2:]:
    next(alerts(lt.dht_bootstrap_alert), None)
else:
    next(alerts(lt.listen_succeeded_alert), None)
say({"port": session.listen_port()})
for line in sys.stdin:
    command = json.loads(line)
    say({"put": put, "get": get, "announce": announce, "peers": peers}[command.pop("do")](**command))
