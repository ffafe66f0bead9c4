#!/usr/bin/env bash
# Makes src/api/schema.ts from the server's own description of its routes. PYTHON: one that has webmacs installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
document=$(mktemp)
trap 'rm -f "$document"' EXIT
(cd .. && "${PYTHON:-.venv/bin/python}" frontend/scripts/openapi.py >"$document")
npx openapi-typescript "$document" --output src/api/schema.ts "$@"
