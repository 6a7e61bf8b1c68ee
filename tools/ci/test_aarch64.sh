#!/usr/bin/env bash
# Runs the tests on one aarch64 CPU model under qemu-user; an instruction that it lacks ends the run.
#   tools/ci/test_aarch64.sh WORK CPU [--whole] [pytest args]     WORK is what tools/ci/prepare_aarch64.sh filled
# On cortex-a72 the tests of the kernels; on cortex-a76 those of the kernels that its set does not share with the other's; on
# max,sve=off those again, and everything above them. With --whole all of that on the one CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(cd "$1" && pwd)
cpu=$2
shift 2
whole=
if [ "${1:-}" = --whole ]; then
  whole=1
  shift
fi
source tools/ci/kernel_tests.sh
source tools/ci/arm64.sh

check_cpu() {  # the set that the CPU must choose, a set that it must refuse
  local found refusal
  found=$(cd / && arm64 "$cpu" -c "from pycompress import _core; print(_core.isa())")
  [ "$found" = "$1" ] || { echo "$cpu chose '$found', not '$1'"; exit 1; }
  if [ -n "$2" ]; then
    if refusal=$(cd / && PYCOMPRESS_ISA=$2 arm64 "$cpu" -c "from pycompress import _core; _core.isa()" 2>&1); then
      echo "$cpu accepted PYCOMPRESS_ISA=$2"
      exit 1
    fi
    grep -q "ValueError: .*'$2' is not available" <<<"$refusal" || { echo "$cpu refused $2 with: $refusal"; exit 1; }
  fi
  echo "$cpu: chooses $found${2:+, refuses $2}"
}

# Families of which there is one table for all sets of ARM.
own_tests=()
shared_tests=()
for path in "${kernel_tests[@]}"; do
  family=$(sed -E 's|tests/test_([a-z0-9]+).*|\1|' <<<"$path")
  tables=$({ grep -oE "&${family}_neon\w*" csrc/dispatch/sets.h || true; } | sort -u | wc -l)
  if [ "$tables" = 1 ]; then shared_tests+=("$path"); else own_tests+=("$path"); fi
done

# Everything that reaches the kernels: not what looks at sources and object files, rewrites graphs, draws (there is no
# matplotlib here), is Python alone (the command line, feeds, verdicts, choices, histograms, profiles, another runtime's nodes),
# starts another Python, or takes qemu minutes (memory over thousands of runs, batches in parts).
everything=(tests --ignore=tests/codebase --ignore=tests/onnx_backend --ignore=tests/graph --ignore=tests/bench
  --ignore=tests/test_cli.py --ignore=tests/runtime/test_fallback.py --ignore=tests/runtime/test_profile.py
  --ignore=tests/compress/test_feeds.py --ignore=tests/compress/test_judge.py --ignore=tests/compress/test_histogram.py
  --ignore=tests/compress/test_report.py --ignore=tests/compress/test_decisions.py --ignore=tests/compress/test_work.py
  --ignore=tests/compress/test_made_up.py --ignore=tests/compress/test_rounding.py --ignore=tests/compress/test_verify.py
  --ignore=tests/runtime/test_steady.py --ignore=tests/test_program_batch.py
  --deselect tests/runtime/test_plan.py::test_opening_one_needs_no_onnx
  --deselect tests/runtime/test_session.py::test_a_session_draws_in_no_heavy_modules)

case $cpu in
  cortex-a72) set=neon; check_cpu neon neon_dotprod; tests=("${kernel_tests[@]}") ;;
  cortex-a76) set=neon_dotprod; check_cpu neon_dotprod neon_i8mm; tests=("${own_tests[@]}") ;;
  max,sve=off)
    set=neon_i8mm
    check_cpu neon_i8mm ""
    tests=("${everything[@]}" "${shared_tests[@]/#/--ignore=}")
    ;;
  *) echo "no tests for $cpu: wanted one of ${cpus[*]}"; exit 2 ;;
esac
if [ -n "$whole" ]; then tests=("${everything[@]}"); fi
echo "== $set on $cpu"
# What runs on one set runs on this one, the rest on each CPU. qemu-user cannot fork a process that has threads.
arm64 "$cpu" -m pytest -q -p no:cacheprovider "${tests[@]}" -k "not fork and ($set or not (scalar or neon))" "$@"
