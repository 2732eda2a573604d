#!/usr/bin/env bash
# Installs the library, builds the example program of the README's "Embedding" section against it
# with find_package(prepack), and runs it.
#   run_readme_example.sh SOURCE_DIR BUILD_DIR MODEL_DIR
set -euo pipefail
source_dir=$1 build_dir=$2 model_dir=$3
work=$build_dir/embed
rm -rf "$work"
mkdir -p "$work/example"

# The code blocks of that section, by language.
code_block() {
  awk -v language="$1" '
    /^## / { inside = ($0 == "## Embedding") }
    inside && $0 == "```" language { copying = 1; next }
    copying && $0 == "```" { exit }
    copying { print }' "$source_dir/README.md"
}
code_block cmake >"$work/example/CMakeLists.txt"
code_block cpp >"$work/example/main.cpp"
test -s "$work/example/CMakeLists.txt" && test -s "$work/example/main.cpp"

cmake --install "$build_dir" --prefix "$work/prefix" >/dev/null
cmake -S "$work/example" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build"
"$work/build/example" "$model_dir" | tee "$work/output.txt"
test "$(wc -l <"$work/output.txt")" -ge 2
