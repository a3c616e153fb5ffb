#!/usr/bin/env bash
# `make test`: needs Go alone. Where a JDK and Maven are, it starts real Kafka,
# a registry and PostgreSQL of its own and runs the same suite against them too.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
export STATE=$root/.cache/test-services

if command -v java >/dev/null && command -v mvn >/dev/null; then
  trap 'deploy/local/services.sh down' EXIT
  deploy/local/services.sh up >/dev/null
  set -a
  # shellcheck disable=SC1091
  . "$STATE/env"
  set +a
else
  echo "SKIPPED: the suite on real Kafka, registry and PostgreSQL: it needs a JDK (17 or later) and Maven"
fi

if [ ! -x .cache/bin/stripe-mock ]; then
  GOBIN=$root/.cache/bin go install github.com/stripe/stripe-mock@v0.203.0 || echo "SKIPPED: stripe-mock cannot be built here"
fi
if [ -x .cache/bin/stripe-mock ]; then export HOLDFAST_STRIPE_MOCK=$root/.cache/bin/stripe-mock; fi

python=$root/.cache/python/bin/python
has_client() { "$python" -c 'import confluent_kafka.schema_registry.avro' 2>/dev/null; }
has_client || { python3 -m venv .cache/python && "$python" -m pip install -q --retries 1 'confluent-kafka[avro]==2.16.1'; } || true
if has_client; then export HOLDFAST_TEST_PYTHON=$python; else echo "SKIPPED: the producer in Python: confluent-kafka cannot be installed here"; fi

go vet ./...
go vet -tags synctests ./...
go test -tags synctests -shuffle=on -timeout 15m ./...

if [ -n "${HOLDFAST_TEST_KAFKA:-}" ]; then # promises beside kills of workers and brokers
  deploy/local/services.sh down
  go run ./internal/chaos -short -busy
else
  echo "SKIPPED: chaos on real Kafka"
fi
