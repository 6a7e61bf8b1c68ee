#!/usr/bin/env bash
# Runs the tests on aarch64 under qemu-user, on a CPU model for each kernel set; an instruction that a model lacks ends the run.
#   tools/ci/emulate_aarch64.sh PYTHON WORK [pytest args]     PYTHON is a 3.11 with venv; WORK is a folder to fill
# Needs what tools/ci/cross_aarch64.sh needs, and qemu-user.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/ci/cross_aarch64.sh "$1" "$2"
work=$(cd "$2" && pwd)
shift 2
source tools/ci/kernel_tests.sh
host=$work/host/bin/python

# What the compiler made of the kernels, looked up with the binutils of the cross compiler.
mkdir -p "$work/bin"
for tool in nm objdump; do ln -sf "$(command -v "aarch64-linux-gnu-$tool")" "$work/bin/$tool"; done
"$host" -m pip install -q "pytest>=8.4"
PATH=$work/bin:$PATH PYCOMPRESS_BUILD=$work/build "$host" -m pytest -q -p no:cacheprovider --noconftest \
  tests/codebase/test_objects.py

source tools/ci/arm64.sh  # from here on PYTHONPATH is of arm64

check_cpu() {  # CPU, the set that it must choose, a set that it must refuse
  local found refusal
  found=$(cd / && arm64 "$1" -c "from pycompress import _core; print(_core.isa())")
  [ "$found" = "$2" ] || { echo "$1 chose '$found', not '$2'"; exit 1; }
  if [ -n "$3" ]; then
    if refusal=$(cd / && PYCOMPRESS_ISA=$3 arm64 "$1" -c "from pycompress import _core; _core.isa()" 2>&1); then
      echo "$1 accepted PYCOMPRESS_ISA=$3"
      exit 1
    fi
    grep -q "ValueError: .*'$3' is not available" <<<"$refusal" || { echo "$1 refused $3 with: $refusal"; exit 1; }
  fi
  echo "$1: chooses $found${3:+, refuses $3}"
}

run_tests() {  # CPU, set, arguments of pytest: what runs on one set runs on this one, the rest on each CPU
  local cpu=$1 set=$2
  shift 2
  echo "== $set on $cpu"
  # qemu-user cannot fork a process that has threads.
  arm64 "$cpu" -m pytest -q -p no:cacheprovider "$@" -k "not fork and ($set or not (scalar or neon))"
}

check_cpu cortex-a72 neon neon_dotprod
check_cpu cortex-a76 neon_dotprod neon_i8mm
check_cpu max,sve=off neon_i8mm ""
run_tests cortex-a72 neon "${kernel_tests[@]}" "$@"
run_tests cortex-a76 neon_dotprod "${kernel_tests[@]}" "$@"
# Everything that reaches the kernels: not what looks at sources and object files, rewrites graphs, draws (there is no matplotlib here)
# or starts another Python.
run_tests max,sve=off neon_i8mm tests --ignore=tests/codebase --ignore=tests/onnx_backend --ignore=tests/graph --ignore=tests/bench \
  --ignore=tests/compress/test_report.py \
  --deselect tests/runtime/test_plan.py::test_opening_one_needs_no_onnx \
  --deselect tests/runtime/test_session.py::test_a_session_draws_in_no_heavy_modules --deselect tests/test_cli.py::test_the_module_is_what_the_script_runs "$@"
