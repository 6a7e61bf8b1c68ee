#!/usr/bin/env bash
# Compresses and runs real models on this machine, and again on aarch64 under qemu-user: the same bits?
#   tools/ci/models_aarch64.sh PYTHON WORK FOLDER     PYTHON is a 3.11 with venv and this package's dependencies; WORK is a folder to fill
# FOLDER is one of models as tools/model_digests.py wants it; the package must have been built in place (tools/build_inplace.sh).
# Needs what tools/ci/prepare_aarch64.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/ci/prepare_aarch64.sh "$1" "$2"
# What an x86 machine without this one's FMA instruction gives is another matter: write says so, and is not the question here.
PYTHONPATH=. "$1" tools/model_digests.py write "$3" || true
tools/ci/check_models_aarch64.sh "$2" "$3"
