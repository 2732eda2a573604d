#!/usr/bin/env bash
# From a fresh machine to generated text: installs what is missing, builds, fetches the default model
# and answers every prompt of a file. Run again, it goes straight to the answers.
set -euo pipefail
if [ $# -gt 0 ]; then
  printf 'error: quickstart.sh takes no arguments, got %s\n' "$1" >&2
  exit 1
fi
# shellcheck source=scripts/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

model=models/smollm2-135m-instruct
prompts=scripts/data/quickstart_prompts.txt

configure build
build 'building build/prepack' build --target prepack_cli
step "fetching $model" "$python" scripts/fetch_model.py

say "build/prepack generate --chat --prompts $prompts --max-new-tokens 48"
build/prepack generate --chat --prompts "$prompts" --max-new-tokens 48

say "
These were $(wc -l <"$prompts") prompts, prefilled together. To try next:
  build/prepack generate --chat --prompt 'What is the capital of France?'
  build/prepack plan --prompts $prompts       # how they were packed
  build/prepack prefill --prompts $prompts    # times and memory
  build/prepack --help"
