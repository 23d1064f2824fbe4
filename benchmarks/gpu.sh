#!/bin/sh
# Everything that a CUDA device alone can show, in under five minutes: first that the numbers are right, then how
# fast they come. Run it from the repository's root where the package and its tests are installed.
set -e
PYTHON=${PYTHON:-python3}
"$PYTHON" -m pytest -q -p no:cacheprovider -W default tests/triton_kernels.py tests/on_cuda.py
"$PYTHON" -m benchmarks gpu
