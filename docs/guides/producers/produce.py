"""Produces invoices with nothing of holdfast: produce.py BROKERS REGISTRY [COUNT]

pip install "confluent-kafka[avro]"
"""

import sys
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "crm.invoice.v1"
NOW = datetime.now(timezone.utc)


def invoice(number):
    customer = number % 7
    return {
        "id": f"inv_{number}",
        "number": f"2026-{number:06}",
        "status": "ISSUED",
        "customer": {
            "id": f"cus_{customer}",
            "name": "Ada Muster",
            "email": f"ada.{customer}@example.com",
            "address": {"line1": "Hauptstr. 1", "city": "Bonn", "postal_code": "53111", "country": "DE"},
        },
        "issued_at": NOW,
        "due_at": NOW + timedelta(days=14),
        "currency": "EUR",
        "lines": [{"sku": "SKU-1", "description": "Training", "quantity": 2, "unit_amount": Decimal("40.50"), "tax_rate": Decimal("0.1900")}],
        "total": Decimal("81.00"),
    }


brokers, registry = sys.argv[1:3]
serialize = AvroSerializer(SchemaRegistryClient({"url": registry}), conf={"auto.register.schemas": False, "use.latest.version": True})
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "partitioner": "murmur2_random"})
failed = []


def acknowledged(error, message):
    if error:
        failed.append(error)
    else:
        print(message.key().decode(), message.partition())


for number in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
    event = invoice(number)
    producer.produce(
        TOPIC,
        key=event["customer"]["id"],
        value=serialize(event, SerializationContext(TOPIC, MessageField.VALUE)),
        headers={"ce_id": str(uuid.uuid4()), "ce_source": "python", "ce_type": "invoice.issued"},
        on_delivery=acknowledged,
    )
producer.flush()
sys.exit(f"not sent: {failed}" if failed else 0)
