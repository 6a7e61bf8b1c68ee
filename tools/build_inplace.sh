#!/usr/bin/env bash
# Builds the extension into pycompress/ of this checkout, so that `PYTHONPATH=. python` runs it. tools/build_inplace.sh [cmake args]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake -S . -B build -G Ninja -DPython_EXECUTABLE="$(command -v "$python")" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" "${launcher[@]}" "$@" >/dev/null
cmake --build build
cmake --install build --prefix . >/dev/null
