"""Paho's client under orders: one JSON object as the only argument. Prints each message that it receives as a line of JSON.

version, host, port, caFile, clientId, persistent, will, filters, qos, leaves, subscribeProperties, connectProperties:
    as a subscriber, until it is killed, or with `leaves` until its filters are acknowledged.
version, host, port, caFile, clientId, publish: [{topic, payload, qos, retain, properties}]:
    as a publisher, until all is acknowledged.
Properties are named as Paho names them.
"""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

orders = json.loads(sys.argv[1])
version = orders["version"]
done = threading.Event()
connected = threading.Event()
failure = []
acknowledged = []


def properties(packet_type, values):
    if version != mqtt.MQTTv5:
        return None
    made = Properties(packet_type)
    for name, value in (values or {}).items():
        if name == "UserProperty":
            value = [tuple(pair) for pair in value]
        elif name == "CorrelationData":
            value = value.encode()
        setattr(made, name, value)
    return made


def read(found):
    if found is None:
        return {}
    values = dict(found.json())
    values["SubscriptionIdentifier"] = getattr(found, "SubscriptionIdentifier", [])
    return values


def on_connect(client, userdata, flags, reason, *rest):
    code = reason.value if hasattr(reason, "value") else reason
    if code != 0:
        failure.append("CONNACK %s" % code)
        connected.set()
        done.set()
        return
    if "filters" in orders:
        for name in orders["filters"]:
            if version == mqtt.MQTTv5:
                made = properties(PacketTypes.SUBSCRIBE, orders.get("subscribeProperties"))
                client.subscribe(name, options=SubscribeOptions(qos=orders["qos"]), properties=made)
            else:
                client.subscribe(name, orders["qos"])
    connected.set()


def on_subscribe(client, userdata, *rest):
    acknowledged.append(True)
    if orders.get("leaves") and len(acknowledged) == len(orders["filters"]):
        done.set()


def on_message(client, userdata, message):
    line = {
        "topic": message.topic,
        "payload": message.payload.decode(),
        "qos": message.qos,
        "retain": bool(message.retain),
        "properties": read(getattr(message, "properties", None)),
    }
    print(json.dumps(line), flush=True)


persistent = orders.get("persistent", False)
session = {} if version == mqtt.MQTTv5 else {"clean_session": not persistent}
client = mqtt.Client(orders.get("clientId") or "paho-publisher", protocol=version, **session)
client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = on_subscribe
if orders.get("caFile"):
    client.tls_set(ca_certs=orders["caFile"])
will = orders.get("will")
if will:
    made = properties(PacketTypes.WILLMESSAGE, will.get("properties"))
    client.will_set(will["topic"], will["payload"], will["qos"], will.get("retain", False), made)

extra = {}
if version == mqtt.MQTTv5:
    asked = dict(orders.get("connectProperties") or {})
    if persistent:
        asked["SessionExpiryInterval"] = 3600
    extra = {"clean_start": not persistent, "properties": properties(PacketTypes.CONNECT, asked)}
client.connect(orders["host"], orders["port"], **extra)
client.loop_start()
connected.wait()
for message in [] if failure else orders.get("publish", []):
    made = properties(PacketTypes.PUBLISH, message.get("properties"))
    sent = client.publish(message["topic"], message["payload"], message["qos"], message.get("retain", False), made)
    sent.wait_for_publish()
if "filters" in orders:
    done.wait()
client.disconnect()
client.loop_stop()
if failure:
    sys.exit(failure[0])
