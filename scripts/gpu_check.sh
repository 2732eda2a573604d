#!/usr/bin/env bash
# Builds prepack on a machine with a GPU, PyTorch 2.11, CMake, ninja and nvcc, but no network and no
# Debian packages of ours; runs all tests, those of the GPU too, and the benchmark. Every stage has
# an end; one that fails does not keep the others from running where they can.
#
#   scripts/gpu_check.sh [BUNDLE]     default: build/bundle.tar.gz, made by scripts/make_bundle.sh
#
# Leaves report.json, report.md and log.txt in $OUT (default: build/gpu_check). Variables:
#   PYTHON    the one that has torch           (python3)
#   SECONDS_IN_ALL                             (540)
#   SANITIZER_SECONDS  of these; 0: compute-sanitizer is not run   (60)
#   CPU_TESTS  no: what needs no GPU is not tested; it comes last, in the time left  (yes)
#   WORK      where it builds                  (build/gpu)
#   PROMPTS   folder of the five prompt files  (shared/prompts, where there is one)
#   HIDE_SYSTEM       yes: do not look for libraries where the system has its own
#   BENCH_ARGUMENTS  of scripts/bench_gpu.py, beside these
set -euo pipefail
bundle=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/../build/bundle.tar.gz}")
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Where toolkits are installed whose compiler is on nobody's path.
PATH=$PATH:/usr/local/cuda/bin
# LibTorch 2.11 would give dense attention in 16 bits to cuDNN, which plans anew for each new shape.
export TORCH_CUDNN_SDPA_DEPRIORITIZED=1

python=${PYTHON:-python3}
time_limit=${SECONDS_IN_ALL:-540}
sanitizer_seconds=${SANITIZER_SECONDS:-60}
sanitizer=$(command -v compute-sanitizer) || true
out=$(realpath -m "${OUT:-build/gpu_check}")
work=$(realpath -m "${WORK:-build/gpu}")
prompts=${PROMPTS:-shared/prompts}
jobs=$(getconf _NPROCESSORS_ONLN)
log="$out/log.txt"
mkdir -p "$out" "$work"
rm -f "$out"/*.json "$out/stages.tsv" "$out/report.md" "$log"

# stage NAME SECONDS COMMAND...: for as long at most, and no longer than there is time in all
stage() {
  local name=$1 limit=$2 start=$SECONDS status=0
  shift 2
  [ "$limit" -le $((time_limit - SECONDS)) ] || limit=$((time_limit - SECONDS))
  if [ "$limit" -lt 5 ]; then
    status=124
  else
    printf '\n=== %s\n' "$name" >>"$log"
    timeout --kill-after=5 "$limit" "$@" >>"$log" 2>&1 </dev/null || status=$?
  fi
  printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" >>"$out/stages.tsv"
  say "$name: status $status, $((SECONDS - start)) s"
  return "$status"
}

# skip NAME WHY: a stage that is not run
skip() {
  printf '%s\t-\t0\n' "$1 ($2)" >>"$out/stages.tsv"
  say "$1: not run, $2"
}

torch_folder() { "$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))'; }
num_gpus() { "$python" -c 'import torch; print(torch.cuda.device_count())' 2>/dev/null || echo 0; }

configure_dependencies() {
  tar -xf "$bundle" -C "$work"
  cmake -S third_party/bundle -B "$work/dependencies" -G Ninja "-DSOURCES=$work/bundle" \
    "-DCMAKE_INSTALL_PREFIX=$work/prefix"
}

build_dependencies() {
  cmake --build "$work/dependencies" --parallel "$jobs" && cmake --install "$work/dependencies"
}

configure_prepack() {
  local options=()
  if [ -n "${HIDE_SYSTEM:-}" ]; then # so that a machine that has the libraries too tests the bundle's
    options+=(-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF)
  fi
  cmake -S . -B "$work/prepack" -G Ninja "-DCMAKE_PREFIX_PATH=$work/prefix;$(torch_folder)" \
    -DPREPACK_WITH_CUDA=ON "${options[@]}"
}

build_prepack() {
  cmake --build "$work/prepack" --parallel "$jobs" --target prepack_cli prepack_cuda prepack_tests \
    prepack_gpu_tests prepack_base_tests prepack_kernel_tests prepack_cuda_kernel_tests \
    prepack_bench_worker
}

# What is tested on the CPU does not see the GPU, which is the default where there is one. The example
# of find_package builds the whole once more, and tests on AMX's emulation, which need no GPU, are not built.
cpu_tests() {
  CUDA_VISIBLE_DEVICES='' CMAKE_PREFIX_PATH="$work/prefix:$(torch_folder)" \
    ctest --test-dir "$work/prepack" --parallel "$jobs" --timeout 120 --output-on-failure \
    --no-tests=error -E '^gpu:|find_package|prepack_amx' \
    --output-junit "$out/cpu_tests.xml"
}

gpu_tests() {
  ctest --test-dir "$work/prepack" --parallel 4 --timeout 60 --output-on-failure --no-tests=error \
    -R '^gpu:' --output-junit "$out/gpu_tests.xml"
}

sanitize() {
  local tests='rms_norm on a GPU*,SwiGLU on a GPU*,a GPU turns*,slices of a GPU*'
  [ "$1" != memcheck ] || tests+=',a GPU draws*' # too slow under the others
  "$sanitizer" --tool "$1" --error-exitcode 9 "$work/prepack/tests/prepack_gpu_tests" "$tests"
}

# The kernels of our own, under each tool for a third of the time.
sanitizer_stages() {
  local tool
  if [ -z "$sanitizer" ]; then
    skip compute-sanitizer 'it is not on this machine'
  elif [ "$sanitizer_seconds" -eq 0 ]; then
    skip compute-sanitizer 'SANITIZER_SECONDS is 0'
  else
    for tool in memcheck racecheck initcheck; do
      stage "compute-sanitizer $tool" $((sanitizer_seconds / 3)) bash -c "sanitize $tool" || true
    done
  fi
}

bench() {
  local arguments=("--worker=$work/prepack/prepack_bench_worker" "--json=$out/bench.json"
    "--seconds=$((time_limit - SECONDS - 15))")
  [ ! -d "$prompts" ] || arguments+=("--prompts=$prompts")
  # shellcheck disable=SC2086
  "$python" -u scripts/bench_gpu.py "${arguments[@]}" ${BENCH_ARGUMENTS:-}
}

gpus=$(num_gpus)
[ "$gpus" -eq 0 ] || export PREPACK_REQUIRE_GPU=1 # a test that does not find the GPU fails
say "GPUs: $gpus; everything that is printed is in $log"
export -f configure_dependencies build_dependencies configure_prepack build_prepack cpu_tests \
  gpu_tests sanitize bench torch_folder
export python work out bundle jobs prompts time_limit sanitizer

if [ -f "$work/prefix/lib/libCbcSolver.a" ] ||
  { stage 'configure dependencies' 60 bash -c configure_dependencies &&
    stage 'build dependencies' 200 bash -c build_dependencies; }; then
  if stage 'configure prepack' 60 bash -c configure_prepack &&
    stage 'build prepack' 300 bash -c build_prepack; then
    if [ "$gpus" -gt 0 ]; then
      stage 'tests on the GPU' 240 bash -c gpu_tests || true
      sanitizer_stages
      stage 'benchmark' 400 bash -c "SECONDS=$SECONDS; bench" || true
    else
      stage 'tests of the GPU are skipped' 60 bash -c gpu_tests || true
    fi
    if [ "${CPU_TESTS:-yes}" = yes ]; then
      stage 'tests on the CPU' 150 bash -c cpu_tests || true
    else
      skip 'tests on the CPU' 'CPU_TESTS is not yes'
    fi
  fi
fi
"$python" scripts/gpu_report.py "$out" --gpus "$gpus"
say "report: $out/report.md"
! grep -qvP '\t[0-]\t' "$out/stages.tsv"
