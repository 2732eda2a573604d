#!/usr/bin/env bash
# Installs what is missing to build prepack, and nothing else. Run it, or source it: it sets $python
# and CMAKE_PREFIX_PATH for what follows. With --tests, also what only the tests need; with --plots, what
# only the pictures of scripts/reproduce.sh need.
#
#   Debian packages   compiler, CMake and libraries, system-wide with apt; or none of them, where the
#                     active conda environment was made from environment.yml
#   .venv/            the Python packages of the scripts, and torch, whose wheel is a complete LibTorch;
#                     no torch if CMAKE_PREFIX_PATH names another LibTorch (the tests need it anyway)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

debian_packages=(g++ cmake ninja-build libfmt-dev nlohmann-json3-dev libpcre2-dev libutf8proc-dev
  libsentencepiece-dev coinor-libcbc-dev libhwy-dev libcli11-dev catch2)
test_packages=(clang libclang-rt-dev) # for the sanitizers and fuzzers
torch_disk_gb=8                       # what is installed, and the downloads beside it
for_tests=                            # yes: install what only the tests need too
for_plots=                            # yes: what only the pictures need

setup() {
  case "$(uname -s) $(uname -m)" in
    'Linux x86_64' | 'Linux aarch64') ;;
    *) fail "prepack runs on Linux, on x86_64 or aarch64; this is $(uname -s) on $(uname -m)" ;;
  esac
  while [ $# -gt 0 ]; do
    case "$1" in
      --tests) for_tests=yes ;;
      --plots) for_plots=yes ;;
      --help | -h)
        sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit
        ;;
      *) fail "setup.sh: $1: no such option; scripts/setup.sh --help lists them" ;;
    esac
    shift
  done
  export CMAKE_GENERATOR=Ninja
  if is_project_environment "${CONDA_PREFIX:-}"; then
    use_conda_environment
  else
    install_debian_packages
    install_python_packages
  fi
}

# --- conda ---------------------------------------------------------------------------------------

is_project_environment() {
  local header
  [ -n "$1" ] || return
  for header in fmt/core.h nlohmann/json.hpp pcre2.h utf8proc.h sentencepiece_processor.h \
    coin/Cbc_C_Interface.h hwy/highway.h CLI/CLI.hpp ATen/core/Tensor.h; do
    [ -f "$1/include/$header" ] || return
  done
}

use_conda_environment() {
  local requirements=(third_party/requirements.txt) missing
  python="$CONDA_PREFIX/bin/python"
  [ -z "$for_plots" ] || requirements+=(third_party/requirements-plots.txt)
  export CMAKE_PREFIX_PATH="$CONDA_PREFIX${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}"
  missing=$(missing_requirements "${requirements[@]}")
  [ -z "$missing" ] || fail "the conda environment $CONDA_PREFIX lacks $(wc -l <<<"$missing") of" \
    "${requirements[*]}. Run: conda env update -f environment.yml"
}

# --- Debian packages -----------------------------------------------------------------------------

install_debian_packages() {
  local package wanted=("${debian_packages[@]}") missing=()
  [ -z "$for_tests" ] || wanted+=("${test_packages[@]}")
  find_python >/dev/null || wanted+=(python3 python3-venv ca-certificates)
  for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0

  command -v apt-get >/dev/null || fail "missing (by Debian's names): ${missing[*]}. There is no apt" \
    'here; with conda: conda env create -f environment.yml && conda activate prepack'
  if [ "$(id -u)" -ne 0 ]; then
    may_use_sudo || fail 'Debian packages are missing, and there is no sudo, or it wants a password.' \
      "As root, run: apt-get install ${missing[*]}"
  fi
  say "Debian packages, system-wide: ${missing[*]}"
  step 'installing Debian packages' apt_install "${missing[@]}"
}

# A Debian package; or, for a tool, its command from anywhere.
is_installed() {
  command -v "${1%-build}" >/dev/null ||
    dpkg-query --show --showformat '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

may_use_sudo() {
  command -v sudo >/dev/null || return
  if [ -t 0 ]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  [ "$(id -u)" -eq 0 ] || apt=(sudo "${apt[@]}")
  "${apt[@]}" update || true # one broken source should not stop the others; install will tell
  "${apt[@]}" install --yes --no-install-recommends "$@"
}

# --- Python packages -----------------------------------------------------------------------------

install_python_packages() {
  local base requirements=(third_party/requirements.txt) missing
  python=.venv/bin/python
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    base=$(find_python) ||
      fail 'there is no Python from 3.11 to 3.14 with its venv module (Debian: python3-venv)'
    step "making .venv with $("$base" --version)" "$base" -m venv --clear .venv
  fi
  if [ -n "$for_tests" ] || ! names_libtorch "${CMAKE_PREFIX_PATH:-}"; then
    requirements+=(third_party/requirements-torch.txt)
  fi
  [ -z "$for_plots" ] || requirements+=(third_party/requirements-plots.txt)
  missing=$(missing_requirements "${requirements[@]}")
  [ -n "$missing" ] || return 0

  if [[ $missing == *torch==* ]] && [ "$(free_gb .venv)" -lt "$torch_disk_gb" ]; then
    fail "torch and its CUDA packages need $torch_disk_gb GB in $PWD/.venv; the disk has" \
      "$(free_gb .venv) GB left"
  fi
  say "Python packages, in .venv: $(wc -l <<<"$missing") of ${requirements[*]}"
  mkdir -p .venv/tmp # /tmp may be too small for the downloads
  TMPDIR="$PWD/.venv/tmp" step 'installing Python packages' \
    "$python" -m pip install --no-cache-dir --no-compile --no-input --progress-bar off \
    --disable-pip-version-check "${requirements[@]/#/--requirement=}"
  rm -rf .venv/tmp
}

find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip, sys, venv
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# The pinned packages of these files that $python has not, or has in another version; one a line.
missing_requirements() {
  "$python" - "$@" <<'END_OF_PYTHON'
import importlib.metadata
import sys

def installed(name):
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None

for path in sys.argv[1:]:
    for line in open(path, encoding="utf-8"):
        name, pinned, version = line.split("#")[0].strip().partition("==")
        if pinned and installed(name) != version:
            print(f"{name}=={version}")
END_OF_PYTHON
}

# Looks where third_party/cmake/FindLibTorch.cmake looks.
names_libtorch() {
  local prefix folder prefixes
  IFS=: read -ra prefixes <<<"$1"
  for prefix in ${prefixes[@]+"${prefixes[@]}"}; do
    for folder in "$prefix" "$prefix/../.." "$prefix/../../.."; do
      [ ! -f "$folder/include/ATen/core/Tensor.h" ] || return 0
    done
  done
  return 1
}

free_gb() { df --block-size=1G --output=avail "$1" | tail -n 1 | tr -d ' '; }

setup "$@"
[ "${BASH_SOURCE[0]}" != "$0" ] || say "Everything is installed; the scripts' Python is $python."
