#!/usr/bin/env bash
# Installs the programs that scripts/bench_peers.py compares prepack with, each into its own Python
# environment in build/peers/. transformers is not among them: it is in .venv.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'END_OF_USAGE'
Usage: scripts/setup_peers.sh [ctranslate2] [llama_cpp] [paper]

By default the first two. llama_cpp is compiled for this machine's CPU, which takes minutes and wants
a C++ compiler and CMake; PEERS_JOBS=N compiles with N jobs [default: 1]. paper is what the paper's
own code needs, LibTorch once more among it (5 GB); of the code itself, github.com/siyan-zhao/prepacking,
the variable PREPACKING_CODE has to name a checkout when it is measured.
END_OF_USAGE
}

install_peer() {
  local name=$1 folder=build/peers/$1 requirements=third_party/requirements-peers-$1.txt
  local python=python3 options=()
  [ ! -x .venv/bin/python ] || python=.venv/bin/python
  [ -x "$folder/bin/pip" ] || step "making $folder" "$python" -m venv "$folder"
  case $name in
    llama_cpp) options=(--no-binary llama-cpp-python) ;;
    paper) options=(--requirement third_party/requirements-torch.txt) ;;
  esac
  CMAKE_BUILD_PARALLEL_LEVEL=${PEERS_JOBS:-1} \
    CMAKE_ARGS='-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF' \
    step "installing $name" nice "$folder/bin/python" -m pip install --no-input --progress-bar off \
    --disable-pip-version-check --requirement "$requirements" ${options[@]+"${options[@]}"}
}

[ "$#" -gt 0 ] || set -- ctranslate2 llama_cpp
for name in "$@"; do
  case $name in
    ctranslate2 | llama_cpp | paper) ;;
    -h | --help) usage; exit ;;
    *) say "error: no such peer: $name"; usage >&2; exit 2 ;;
  esac
done
for name in "$@"; do
  install_peer "$name"
done
