#!/usr/bin/env bash
# Print the Secrets that the pods use. Nothing is written to disk. The API key is shown once, on standard error.
#
#   DATABASE_URL=postgresql+psycopg://user:password@host:5432/ragserve kuberay/make-secrets.sh \
#     | kubectl apply --server-side --field-manager=ragserve-secrets -f -
#
# Keep the field manager's name. The overlays contain the same Secrets without data; if both were applied under one
# name, applying an overlay would delete the data.
# Optional variables: HF_TOKEN, MILVUS_TOKEN, REDIS_URL, WEBHOOK_SECRET, KAFKA_PASSWORD, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
# TENANT (default), REDIS_PASSWORD, API_KEY. A second run replaces every Secret: give it all variables of the first, with
# its REDIS_PASSWORD and its API_KEY, or the running head loses Redis, and the first key is no longer valid.
set -euo pipefail

: "${DATABASE_URL:?the SQLAlchemy URL of a PostgreSQL database, postgresql+psycopg://…}"
namespace=${NAMESPACE:-ragserve}
random() { head -c 32 /dev/urandom | sha256sum | cut -d' ' -f1; }
redis_password=${REDIS_PASSWORD:-$(random)}
api_key=${API_KEY:-$(random)}
digest=$(printf %s "$api_key" | sha256sum | cut -d' ' -f1)

secret() { # arguments: name, then key=value pairs; a pair with an empty value is skipped
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n' "$1" "$namespace"
    shift
    for pair in "$@"; do
        [[ -z ${pair#*=} ]] || printf '  %s: %s\n' "${pair%%=*}" "$(printf %s "${pair#*=}" | base64 -w0)"
    done
}

secret ragserve "database-url=$DATABASE_URL" "hf-token=${HF_TOKEN:-}" "milvus-token=${MILVUS_TOKEN:-}" \
    "redis-url=${REDIS_URL:-}" \
    "webhook-secret=${WEBHOOK_SECRET:-}" "kafka-password=${KAFKA_PASSWORD:-}" \
    "s3-access-key=${AWS_ACCESS_KEY_ID:-}" "s3-secret-key=${AWS_SECRET_ACCESS_KEY:-}"
secret ragserve-redis "password=$redis_password"
secret ragserve-api-keys "keys.yaml=${TENANT:-default}: [$digest]"
[[ -n ${REDIS_PASSWORD:-} ]] || echo "Redis has a new password; a later run keeps it with REDIS_PASSWORD" >&2
[[ -n ${API_KEY:-} ]] || echo "API key of tenant ${TENANT:-default}, not kept anywhere: $api_key" >&2
