#!/usr/bin/env bash
# Cross-builds the extension for aarch64 and runs the kernel tests with an arm64 Python under qemu-user.
#   tools/ci/emulate_aarch64.sh PYTHON WORK [pytest args]     PYTHON has pybind11; WORK is a folder to fill
# Needs g++-aarch64-linux-gnu, qemu-user, cmake, ninja and Debian 12's own python3. apt's state stays as it is: the arm64 packages
# are unpacked, not installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
mkdir -p "$2"
work=$(cd "$2" && pwd)
shift 2
source tools/ci/kernel_tests.sh
version=3.11  # Debian 12's
root=$work/root
site=$work/site

private_apt() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
    -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt" "$@"
}

if [ ! -x "$root/usr/bin/python$version" ]; then
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$root"
  : >"$work/apt/status"
  private_apt update
  private_apt install -y --no-install-recommends --download-only "python$version" "libpython$version-dev" libstdc++6
  for package in "$work"/apt/archives/*.deb; do dpkg -x "$package" "$root"; done
fi

# The headers alone: the rest of the arm64 tree must not shadow the cross compiler's own.
headers=$work/include
mkdir -p "$headers/aarch64-linux-gnu"
cp -a "$root/usr/include/python$version" "$headers/"
cp -a "$root/usr/include/aarch64-linux-gnu/python$version" "$headers/aarch64-linux-gnu/"

cat >"$work/toolchain.cmake" <<X
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CXX_FLAGS_INIT "-Werror -isystem $headers")
set(Python_EXECUTABLE /usr/bin/python$version)
set(Python_INCLUDE_DIR $headers/python$version)
set(PYTHON_MODULE_EXTENSION .cpython-${version/./}-aarch64-linux-gnu.so)
X
cmake -S . -B "$work/build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$work/toolchain.cmake" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$work/build"

wheels=(--only-binary=:all: --implementation cp --python-version "$version" --abi "cp${version/./}" --abi abi3 --abi none)
for glibc in 2_34 2_28 2_27 2_17; do wheels+=(--platform "manylinux_${glibc}_aarch64"); done
[ -d "$site/numpy" ] || "$python" -m pip install -q --no-compile --target "$site" "${wheels[@]}" numpy pytest hypothesis
rm -rf "$site/pycompress"
cp -r pycompress "$site/pycompress"
rm -f "$site"/pycompress/_core*.so
cmake --install "$work/build" --prefix "$site" >/dev/null

arm64() { qemu-aarch64 -L "$root" -cpu cortex-a72 "$root/usr/bin/python$version" "$@"; }
export PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
unset PYTHONHOME
found=$(cd / && arm64 -c "from pycompress import _core; print(_core.isa())")
[ "$found" = neon ] || { echo "cortex-a72 chose '$found', not 'neon'"; exit 1; }
echo "== the kernel tests on cortex-a72 (no dot product instructions): chooses $found"
arm64 -m pytest -q -p no:cacheprovider "${kernel_tests[@]}" "$@"
