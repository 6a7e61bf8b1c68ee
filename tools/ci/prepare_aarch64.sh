#!/usr/bin/env bash
# What the emulated runs on aarch64 need: the wheel, beside an arm64 Python and what the tests import. Then looks at what the compiler
# made of the kernels.
#   tools/ci/prepare_aarch64.sh PYTHON WORK     PYTHON is a 3.11 with venv; WORK is a folder to fill
# Needs what tools/ci/cross_aarch64.sh needs, and qemu-user.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/ci/cross_aarch64.sh "$1" "$2"
work=$(cd "$2" && pwd)
source tools/ci/arm64.sh
host=$work/host/bin/python

# The binutils of the cross compiler, under the names that the test looks for.
mkdir -p "$work/bin"
for tool in nm objdump; do ln -sf "$(command -v "aarch64-linux-gnu-$tool")" "$work/bin/$tool"; done
"$host" -m pip install -q "pytest>=8.4"
PATH=$work/bin:$PATH PYCOMPRESS_BUILD=$work/build "$host" -m pytest -q -p no:cacheprovider --noconftest \
  tests/codebase/test_objects.py

# onnxruntime 1.23.2 runs under qemu-user.
wheels=(--only-binary=:all: --implementation cp --python-version "$version" --abi "cp${version/./}" --abi abi3 --abi none)
for glibc in _2_34 _2_28 _2_27 _2_17 2014; do wheels+=(--platform "manylinux${glibc}_aarch64"); done
[ -d "$site/onnxruntime" ] || "$host" -m pip install -q --no-compile --target "$site" "${wheels[@]}" \
  numpy onnx onnxruntime==1.23.2 rich typer pytest hypothesis
rm -rf "$site"/pycompress*
"$host" -m zipfile -e "$work"/wheel/*-linux_aarch64.whl "$site"
