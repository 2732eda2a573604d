#pragma once

namespace CLI {
class App;
}

namespace prepack::cli {

// Each declares one subcommand with its options and what it runs.

void add_generate_command(CLI::App& app);
void add_prefill_command(CLI::App& app);
void add_compare_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_verify_command(CLI::App& app);
void add_score_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_info_command(CLI::App& app);

}  // namespace prepack::cli
