BEGIN;
INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('invoice', 'cus_1', 'invoice.issued', '{
  "id": "inv_1", "number": "2026-000001", "status": "ISSUED",
  "customer": {"id": "cus_1", "name": "Ada Muster", "email": "ada.1@example.com",
    "address": {"line1": "Hauptstr. 1", "city": "Bonn", "postal_code": "53111", "country": "DE"}},
  "issued_at": "2026-11-25T09:00:00Z", "due_at": "2026-12-09T09:00:00Z", "currency": "EUR",
  "lines": [{"sku": "SKU-1", "description": "Training", "quantity": 2, "unit_amount": "40.50", "tax_rate": "0.1900"}],
  "total": "81.00"}');
COMMIT;
