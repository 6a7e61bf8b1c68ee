# Sourced with work set, the folder that tools/ci/prepare_aarch64.sh fills: defines arm64, which runs the arm64 Python on a CPU model.
version=3.11
root=$work/root
site=$work/site

# qemu 7.2 stops at SVE registers that it cannot save.
cpus=(cortex-a72 cortex-a76 max,sve=off)
arm64() {  # CPU, arguments of Python
  local cpu=$1
  shift
  PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 env -u PYTHONHOME \
    qemu-aarch64 -L "$root" -cpu "$cpu" "$root/usr/bin/python$version" "$@"
}
