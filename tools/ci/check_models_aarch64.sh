#!/usr/bin/env bash
# Whether models give the same bits on aarch64, under qemu-user, as where tools/model_digests.py wrote them down.
#   tools/ci/check_models_aarch64.sh WORK FOLDER     WORK is what tools/ci/prepare_aarch64.sh filled
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(cd "$1" && pwd)
folder=$(cd "$2" && pwd)
source tools/ci/arm64.sh
for cpu in "${cpus[@]}"; do
  echo "== $cpu"
  arm64 "$cpu" tools/model_digests.py check "$folder" || failed=1
done
exit "${failed:-0}"
