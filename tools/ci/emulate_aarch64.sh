#!/usr/bin/env bash
# Runs the tests on aarch64 under qemu-user, on a CPU model for each kernel set.
#   tools/ci/emulate_aarch64.sh PYTHON WORK [pytest args]     PYTHON is a 3.11 with venv; WORK is a folder to fill
# Needs what tools/ci/prepare_aarch64.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/ci/prepare_aarch64.sh "$1" "$2"
work=$(cd "$2" && pwd)
shift 2
(source tools/ci/arm64.sh && printf '%s\n' "${cpus[@]}") | while read -r cpu; do
  tools/ci/test_aarch64.sh "$work" "$cpu" "$@" </dev/null
done
