#!/usr/bin/env bash
# The kernel tests on x86 CPUs older than this one, under qemu-user: an instruction that such a CPU lacks ends the run.
#   tools/ci/emulate_x86.sh PYTHON [pytest args]     PYTHON has the wheel and the test extra installed
# `--every 3` as argument takes every third case of each test.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
shift
source tools/ci/kernel_tests.sh

emulated() {  # cpu, command...: qemu's notes on features that it cannot emulate are no news
  local cpu=$1
  shift
  qemu-x86_64 -cpu "$cpu" "$@" 2> >(grep -v "TCG doesn't support" >&2)
}

check_cpu() {  # cpu, the set that it must choose, a set that it must refuse
  local found refusal
  found=$(cd / && emulated "$1" "$python" -c "from pycompress import _core; print(_core.isa())")
  [ "$found" = "$2" ] || { echo "$1 chose '$found', not '$2'"; exit 1; }
  if refusal=$(cd / && PYCOMPRESS_ISA=$3 emulated "$1" "$python" -c "from pycompress import _core; _core.isa()" 2>&1); then
    echo "$1 accepted PYCOMPRESS_ISA=$3"
    exit 1
  fi
  grep -q "ValueError: .*'$3' is not available" <<<"$refusal" || { echo "$1 refused $3 with: $refusal"; exit 1; }
  echo "$1: chooses $found, refuses $3"
}

export OPENBLAS_NUM_THREADS=1
check_cpu Haswell avx2 avx512_vnni
check_cpu Nehalem scalar avx512_vnni
# Haswell's own set there, and scalar on the CPU that has no other.
declare -A sets=([Haswell]="avx2 or not scalar" [Nehalem]="scalar or not avx2")
for cpu in Haswell Nehalem; do
  echo "== the kernel tests on $cpu"
  # qemu-user cannot fork a process that has threads.
  emulated "$cpu" "$python" -B -m pytest -q -p no:cacheprovider "${kernel_tests[@]}" -k "not fork and (${sets[$cpu]})" "$@"
done
