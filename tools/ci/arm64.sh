# Sourced after tools/ci/cross_aarch64.sh, with work set: installs the wheel that it built and what the tests need beside the arm64
# Python, and defines arm64, which runs that Python on a CPU model.
version=3.11
root=$work/root
site=$work/site
host=$work/host/bin/python

# onnxruntime 1.23.2 runs under qemu-user.
wheels=(--only-binary=:all: --implementation cp --python-version "$version" --abi "cp${version/./}" --abi abi3 --abi none)
for glibc in _2_34 _2_28 _2_27 _2_17 2014; do wheels+=(--platform "manylinux${glibc}_aarch64"); done
[ -d "$site/onnxruntime" ] || "$host" -m pip install -q --no-compile --target "$site" "${wheels[@]}" \
  numpy onnx onnxruntime==1.23.2 rich typer pytest hypothesis
rm -rf "$site"/pycompress*
"$host" -m zipfile -e "$work"/wheel/*-linux_aarch64.whl "$site"

export PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
unset PYTHONHOME

# qemu 7.2 stops at SVE registers that it cannot save.
cpus=(cortex-a72 cortex-a76 max,sve=off)
arm64() {  # CPU, arguments of Python
  local cpu=$1
  shift
  qemu-aarch64 -L "$root" -cpu "$cpu" "$root/usr/bin/python$version" "$@"
}
