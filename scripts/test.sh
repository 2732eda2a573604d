#!/usr/bin/env bash
# Installs what is missing, builds, makes the reference values and runs every test. Arguments go to
# ctest: scripts/test.sh -R packing
set -euo pipefail
# shellcheck source=scripts/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" --tests

model=models/smollm2-135m-instruct
reference=build/reference/smollm2-135m-instruct

configure build
build 'building the program and its tests' build

step "fetching $model" "$python" scripts/fetch_model.py
if [ scripts/make_reference.py -nt "$reference/reference.safetensors" ] ||
  [ "$model/model.safetensors" -nt "$reference/reference.safetensors" ]; then
  step 'computing reference values with transformers' \
    "$python" scripts/make_reference.py --model "$model" --output "$reference"
fi

# What reads files, what packs and the kernels, once more under the sanitizers; and the fuzzers, which
# need clang. The tests of the main build run them.
sanitize=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DPREPACK_SANITIZE=ON -DPREPACK_BUILD_TESTS=ON)
if command -v clang++ >/dev/null; then
  sanitize+=(-DCMAKE_CXX_COMPILER=clang++ -DPREPACK_BUILD_FUZZERS=ON)
fi
configure build/sanitize "${sanitize[@]}"
build 'building the sanitized tests and the fuzzers' build/sanitize

# Two at a time: most tests wait for one core, or for LibTorch to be loaded.
exec ctest --test-dir build --output-on-failure --no-tests=error --parallel 2 "$@"
