#!/usr/bin/env bash
# Collects the sources of what prepack needs, for a machine without network or Debian packages, where
# scripts/gpu_check.sh builds them: Debian's source packages, without what is not built.
#
#   scripts/make_bundle.sh [FILE]     default: build/bundle.tar.gz
#
# Needs apt, whose own list of places is used, as it is for packages.
set -euo pipefail
target=$(realpath -m "${1:-build/bundle.tar.gz}")
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(fmtlib nlohmann-json3 pcre2 utf8proc sentencepiece highway catch2 cli11
  coinutils coinor-osi clp coinor-cgl coinor-cbc)
largest=$((20 << 20)) # bytes

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# apt with lists of its own, of the sources in the places where the system has its packages from.
source_apt() {
  apt-get -q -o Dir::Etc::SourceList="$scratch/sources.list" -o Dir::Etc::SourceParts="$scratch/parts" \
    -o Dir::State::Lists="$scratch/lists" -o APT::Sandbox::User=root "$@"
}

list_sources() {
  local file
  mkdir -p "$scratch/parts" "$scratch/lists/partial" "$scratch/packed"
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$scratch/sources.list" 2>/dev/null || true
  for file in /etc/apt/sources.list.d/*; do
    case "$file" in
      *debian*.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$scratch/parts/${file##*/}" ;;
      *debian*.list) sed -n 's/^deb /deb-src /p' "$file" >"$scratch/parts/${file##*/}" ;;
    esac
  done
  source_apt update
}

# The upstream sources alone; Debian's own changes are for its own way of building.
download() (
  cd "$scratch/packed"
  source_apt source --download-only --only-source --tar-only "${packages[@]}"
)

unpack() {
  local package archive
  for package in "${packages[@]}"; do
    archive=$(compgen -G "$scratch/packed/${package}_*.orig.tar.*" | head -n 1)
    [ -n "$archive" ] || fail "there is no source of $package"
    mkdir -p "$scratch/bundle/$package"
    tar -xf "$archive" -C "$scratch/bundle/$package" --strip-components=1
  done
}

# Tests, data, documentation and what autotools need take most of the space, and sorting most of the time.
strip_sources() (
  cd "$scratch/bundle"
  rm -rf sentencepiece/{data,doc,python} nlohmann-json3/{tests,docs,doc,benchmarks} \
    pcre2/{testdata,doc/html} highway/{g3doc,hwy/contrib/sort/vqsort_*.cc} catch2/{docs,projects,extras} utf8proc/data \
    fmtlib/{doc,test} cli11/{book,docs,tests} ./*/BuildTools ./*/*/{test,examples,MSVisualStudio,doxydoc} \
    ./*/doxydoc ./*/Data ./*/.git*
  find . \( -name '*.html' -o -name configure -o -name aclocal.m4 -o -name ltmain.sh \) -delete
)

step 'listing sources' list_sources
step "downloading ${#packages[@]} sources" download
step 'unpacking' unpack
step 'leaving out what is not built' strip_sources
mkdir -p "$(dirname "$target")"
# Not xz, which is not everywhere.
step 'packing' tar -C "$scratch" -czf "$target" bundle
size=$(stat -c %s "$target")
[ "$size" -le "$largest" ] || fail "$target has $size bytes, more than $largest"
say "$target: $((size >> 10)) KiB"
