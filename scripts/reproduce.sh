#!/usr/bin/env bash
# Repeats the experiments of the Prepacking paper and writes a report with tables and pictures.
set -euo pipefail
caller=$PWD
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

data_sets=(mmlu wikitext256 wikitext512 rlhf alpaca samsum)

usage() {
  cat <<'END_OF_USAGE'
Usage: scripts/reproduce.sh --prompts DIR [OPTIONS]

Installs what is missing, builds, fetches the default model, runs the experiments with `prepack compare`
and writes the report. Without --full it takes about 35 minutes on two cores.

  --prompts DIR    folder of the prompts: mmlu, wikitext256, wikitext512, rlhf, alpaca and samsum .jsonl
  --full           every batch, five runs, more batch sizes: for a GPU
  --model DIR      Hugging Face folder [default: the default model, which is fetched]
  --device NAME    cpu, cuda or auto [default: auto]
  --dtype TYPE     float32, bfloat16, float16 or auto [default: auto]
  --output DIR     folder of the report [default: results, and README.md's table is written too]
  --again          repeat experiments that are there already; otherwise a killed run continues

Each prompt file has 1,000 lines {"prompt": "..."}. The paper draws them at random, from texts of more than
one word, out of these data sets of the Hugging Face hub, each under its own licence:

  mmlu                      cais/mmlu, all, test: question
  wikitext256, wikitext512  wikitext, wikitext-2-raw-v1, test: text, cut at 256 and at 512 tokens
  rlhf                      Anthropic/hh-rlhf, train: chosen
  alpaca                    tatsu-lab/alpaca, train: text
  samsum                    samsum, train: dialogue
END_OF_USAGE
}

usage_error() {
  say "error: $*"
  usage >&2
  exit 2
}

from_caller() { # a path, as it was meant where the script was called
  case "$1" in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$caller/$1" ;;
  esac
}

prompts='' full='' again='' device=auto dtype=auto
model=models/smollm2-135m-instruct default_model=yes
output=results readme=(--readme README.md)

while [ $# -gt 0 ]; do
  case "$1" in
    --full) full=yes ;;
    --again) again=yes ;;
    --help | -h) usage && exit ;;
    --prompts | --model | --device | --dtype | --output)
      [ $# -ge 2 ] || usage_error "$1 needs a value"
      case "$1" in
        --prompts) prompts=$(from_caller "${2%/}") ;;
        --model) model=$(from_caller "${2%/}") default_model='' ;;
        --device) device=$2 ;;
        --dtype) dtype=$2 ;;
        --output) output=$(from_caller "${2%/}") readme=() ;;
      esac
      shift
      ;;
    *) usage_error "$1: no such option" ;;
  esac
  shift
done
[ -n "$prompts" ] || usage_error '--prompts is missing'
for data_set in "${data_sets[@]}"; do
  [ -f "$prompts/$data_set.jsonl" ] || usage_error "$prompts/$data_set.jsonl: no such file"
done

# --- The program and its model -------------------------------------------------------------------

# shellcheck source=scripts/setup.sh
. scripts/setup.sh --plots
configure build
build 'building build/prepack' build --target prepack_cli prepack_packing_bench
[ -z "$default_model" ] || step "fetching $model" "$python" scripts/fetch_model.py

# --- Experiments ---------------------------------------------------------------------------------

unfinished=build/reproduce # results appear in the report's folder only when they are whole
names=()
mkdir -p "$output" "$unfinished"

# experiment NAME OPTION...: leaves NAME.json and NAME.csv, and its command, without this machine's
# paths, in commands.txt
experiment() {
  local name=$1 command
  shift
  names+=("$name")
  set -- --model "$model" --device "$device" --dtype "$dtype" --seed 1 "$@"
  command="build/prepack compare $*"
  command=${command//"$prompts/"/}
  [ -n "$default_model" ] || command=${command/"$model"/"${model##*/}"}
  if [ -z "$again" ] && [ -f "$output/$name.json" ] &&
    grep -qxF "$name: $command" "$output/commands.txt" 2>/dev/null; then
    say "$name: there already"
    return
  fi
  say "$command"
  step "measuring $name" build/prepack compare "$@" --quiet \
    --json "$unfinished/$name.json" --csv "$unfinished/$name.csv"
  mv "$unfinished/$name.json" "$unfinished/$name.csv" "$output/"
  record "$name" "$command"
}

record() {
  touch "$output/commands.txt"
  { grep -v "^$1: " "$output/commands.txt" || true; } >"$unfinished/commands.txt"
  printf '%s: %s\n' "$1" "$2" >>"$unfinished/commands.txt"
  mv "$unfinished/commands.txt" "$output/commands.txt"
}

every_data_set=()
for data_set in "${data_sets[@]}"; do every_data_set+=(--prompts "$prompts/$data_set.jsonl"); done
mmlu=(--prompts "$prompts/mmlu.jsonl")
all_methods=packed,packed-rows,padded,length-ordered
three_methods=packed,packed-rows,padded

# On two cores the default model computes about 700 tokens a second: a batch of 16 that is padded to its
# longest prompt takes from 5 seconds (wikitext256) to half a minute (rlhf). So each experiment times few
# batches, enough to see every effect; --full runs what the paper ran.
small_size() {
  experiment datasets "${every_data_set[@]}" --methods $all_methods --metrics ttft \
    --batch-size 16 --max-batches 3 --runs 1
  experiment datasets_prefill "${every_data_set[@]}" --methods $all_methods --metrics prefill \
    --batch-size 16 --max-batches 1 --runs 1
  experiment predictors "${mmlu[@]}" --methods $three_methods --metrics prefill \
    --batch-size 16 --max-batches 8 --runs 1
  experiment batch_sizes "${mmlu[@]}" --methods $three_methods --metrics ttft \
    --batch-size 16,32,64 --max-batches 2 --runs 1
  experiment exact_caches "${mmlu[@]}" --methods packed,padded --metrics ttft --exact-caches \
    --batch-size 64 --max-batches 1 --runs 1
  experiment uniform_lengths --random-lengths 128:128 --num-prompts 64 --methods packed,padded \
    --metrics ttft --batch-size 32 --runs 5
  experiment length_ordered "${every_data_set[@]}" --methods packed,length-ordered --metrics ttft \
    --batch-size 16 --max-batches 8 --runs 1
  experiment random_lengths --random-lengths 50:400 --num-prompts 32 --methods $three_methods \
    --metrics ttft --batch-size 1,2,4,8,16,32 --max-batches 1 --runs 1
  experiment dataset_packing "${mmlu[@]}" --metrics prefill --max-batches 2 --runs 1 \
    --methods packed,dataset-packed,padded,length-ordered --batch-size 2,4,8,16
  experiment generate "${mmlu[@]}" --methods packed,padded --metrics generate --max-new-tokens 16 \
    --batch-size 32 --max-batches 1 --runs 1
}

full_size() {
  experiment datasets "${every_data_set[@]}" --methods $all_methods --metrics prefill,ttft \
    --batch-size 32 --runs 5
  experiment length_ordered "${every_data_set[@]}" --methods packed,length-ordered --metrics ttft \
    --batch-size 64 --runs 5
  experiment exact_caches "${every_data_set[@]}" --methods packed,padded --metrics ttft \
    --exact-caches --batch-size 64 --runs 5
  experiment batch_sizes "${mmlu[@]}" --methods $all_methods --metrics ttft \
    --batch-size 1,2,4,8,16,32,64,128 --max-batches 63 --runs 5 # all batches from 16 prompts on
  experiment random_lengths --random-lengths 50:400 --num-prompts 1024 \
    --methods $three_methods --metrics ttft --batch-size 1,2,4,8,16,32,64,128 --max-batches 8 --runs 5
  experiment uniform_lengths --random-lengths 128:128 --num-prompts 1024 \
    --methods $three_methods --metrics ttft --batch-size 32 --runs 5
  experiment dataset_packing "${mmlu[@]}" --metrics prefill \
    --methods packed,dataset-packed,padded,length-ordered --batch-size 8,16,32,64,128 --runs 5
  experiment predictors "${every_data_set[@]}" --methods $three_methods --metrics prefill \
    --batch-size 16 --runs 5
  experiment generate "${every_data_set[@]}" --methods packed,padded --metrics generate \
    --max-new-tokens 64 --batch-size 32 --max-batches 4 --runs 5
}

# How many rows each packing needs, and how long it takes: no model runs.
packing_table() {
  local files=("${data_sets[@]/#/"$prompts/"}")
  build/tests/prepack_packing_bench "$model" "${files[@]/%/.jsonl}" --optimal=10 \
    >"$unfinished/packing.md" && mv "$unfinished/packing.md" "$output/"
}
step 'measuring packing' packing_table

if [ -n "$full" ]; then full_size; else small_size; fi

# --- The report ----------------------------------------------------------------------------------

results=("${names[@]/%/.json}")
results=("${results[@]/#/"$output/"}")
step 'drawing the pictures' "$python" scripts/plot.py "${results[@]}" --output "$output"
step 'writing the report' "$python" scripts/report.py "${results[@]}" --output "$output" \
  ${readme[@]+"${readme[@]}"}
say "The report is $output/README.md."
