#!/usr/bin/env bash
# The kernel tests on the set avx_vnni, on an x86 CPU that may lack its instruction: the objects of a build, linked with an emulator.
#   tools/ci/emulate_avx_vnni.sh PYTHON BUILD WORK [pytest args]     BUILD is CMake's build tree; WORK is a folder to fill
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
python=$1
objects=$(cd "$2" && pwd)/CMakeFiles/_core.dir
mkdir -p "$3"
work=$(cd "$3" && pwd)
shift 3
source tools/ci/kernel_tests.sh

rm -rf "$work/site"
mkdir "$work/site"
cp -r pycompress "$work/site"
find "$work/site" -name '*.so' -delete
# All but detection is what was built: that would not find what is emulated.
flags=(-std=c++17 -O2 -Wall -Wextra -fPIC -fvisibility=hidden -Icsrc)
"${CXX:-c++}" "${flags[@]}" -DPYCOMPRESS_EMULATE_AVX_VNNI -c csrc/dispatch/cpu.cpp -o "$work/cpu.o"
"${CXX:-c++}" "${flags[@]}" -c tests/emulator/avx_vnni.cpp -o "$work/emulator.o"
mapfile -t built < <(find "$objects" -name '*.o' ! -path '*/dispatch/cpu.cpp.o')
suffix=$("$python" -c "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))")
"${CXX:-c++}" -shared -pthread -o "$work/site/pycompress/_core$suffix" "${built[@]}" "$work/cpu.o" "$work/emulator.o"

export PYTHONDONTWRITEBYTECODE=1 PYCOMPRESS_ISA=avx_vnni OPENBLAS_NUM_THREADS=1
unset PYTHONPATH
cd "$work/site" # first on the path of `python -m`
"$python" -c "import pycompress as pc; print('avx_vnni: among', pc.available_isas()); assert pc.isa() == 'avx_vnni'"
# A trap takes a microsecond or two: windows of 17 x 17 are left out.
windows=()
for test in sums_are_exact requantized_output_is_exact; do
  windows+=(--deselect "tests/test_conv_ops.py::test_$test[avx_vnni-(1, 40, 40, 4)x")
done
# pytest's faulthandler would take the signal of the instruction that is to be emulated.
"$python" -m pytest -q -c "$repo/pyproject.toml" --rootdir "$repo" -p no:cacheprovider -p no:faulthandler \
  "${kernel_tests[@]/#/$repo/}" -k avx_vnni "${windows[@]}" "$@"
