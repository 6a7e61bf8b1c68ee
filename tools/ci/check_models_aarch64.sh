#!/usr/bin/env bash
# Whether models give the same bits on aarch64, under qemu-user, as where tools/model_digests.py wrote them down.
#   tools/ci/check_models_aarch64.sh WORK FOLDER [CPU]     WORK is what tools/ci/prepare_aarch64.sh filled
# They are run on each CPU model, and compressed again on each, or on CPU alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(cd "$1" && pwd)
folder=$(cd "$2" && pwd)
compresses=${3:-}
source tools/ci/arm64.sh
for cpu in "${cpus[@]}"; do
  echo "== $cpu"
  only=()
  [ -z "$compresses" ] || [ "$compresses" = "$cpu" ] || only=(--runs-only)
  arm64 "$cpu" tools/model_digests.py check "$folder" "${only[@]}" || failed=1
done
exit "${failed:-0}"
