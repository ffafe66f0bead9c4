#!/usr/bin/env bash
# Is what is committed what would be made now? The types of the API, from the server's description of itself, and the bundle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
npm run --silent api -- --check || {
  echo "src/api/schema.ts is not what the server's OpenAPI document says: make it by \`npm run api\`" >&2
  exit 1
}
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
npm run --silent build -- --outDir "$built" --emptyOutDir --logLevel warn
diff -rq "$built" ../webmacs/static || {
  echo "webmacs/static/ is not what frontend/ makes: make it by \`make dashboard\`" >&2
  exit 1
}
echo "webmacs/static/ and src/api/schema.ts are what they are made from"
