#!/usr/bin/env bash
# Builds the wheel for aarch64 on x86-64 and unpacks an arm64 Python to run it with under qemu-user.
#   tools/ci/cross_aarch64.sh PYTHON WORK     PYTHON is a 3.11 with venv; WORK is filled with root/, build/ and wheel/
# Needs g++-aarch64-linux-gnu, cmake, ninja and Debian 12's apt. apt's state stays as it is: the arm64 packages are unpacked, not
# installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$1
mkdir -p "$2"
work=$(cd "$2" && pwd)
version=3.11  # Debian 12's
root=$work/root
"$python" -c "import sys; assert '%d.%d' % sys.version_info[:2] == '$version'" || { echo "$python is not Python $version"; exit 2; }

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

suffix=.cpython-${version/./}-aarch64-linux-gnu.so
cat >"$work/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CXX_FLAGS_INIT "-Werror -isystem $headers")
set(CMAKE_CROSSCOMPILING_EMULATOR env)  # CMake wants one to look for Python, and 4.1 runs the host's with it
set(Python_EXECUTABLE $work/host/bin/python)
set(Python_INCLUDE_DIR $headers/python$version)
set(Python_SOABI ${suffix:1:-3})
set(PYTHON_MODULE_EXTENSION $suffix)
END
[ -x "$work/host/bin/python" ] || "$python" -m venv "$work/host"
"$work/host/bin/pip" install -q build "scikit-build-core>=1.1" "pybind11>=3.1"
rm -rf "$work/wheel"
PATH=$work/host/bin:$PATH CXXFLAGS='' CMAKE_TOOLCHAIN_FILE=$work/toolchain.cmake _PYTHON_HOST_PLATFORM=linux-aarch64 \
  SETUPTOOLS_EXT_SUFFIX=$suffix python -m build --wheel --no-isolation -o "$work/wheel" -C build-dir="$work/build" . >"$work/build.log" 2>&1 ||
  { tail -n 40 "$work/build.log"; exit 1; }
ls "$work"/wheel/*-linux_aarch64.whl
