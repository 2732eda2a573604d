#include <malloc.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <limits>
#include <new>
#include <sstream>
#include <string>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"

namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;

int report(const std::string& message) {
  prepack::cli::write_standard_error("prepack: " + message + "\n");
  return kFailed;
}

/// Keeps what is freed for what is allocated next, and large blocks on the heap: what products and
/// attention allocate for themselves would be given back to the system in every layer, and come as
/// fresh pages in the next. glibc only.
void keep_heap() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

/// What comes first: CLI11 would only say that a command is missing.
void check_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2) return;
  const std::string name = argv[1];
  const auto is_named = [&](const CLI::App* command) { return command->get_name() == name; };
  const bool is_option = name.starts_with('-');
  if (is_option ? app.get_option_no_throw(name) != nullptr
                : !app.get_subcommands(is_named).empty()) {
    return;
  }
  throw prepack::cli::UsageError(name + ": no such " + (is_option ? "option" : "command") +
                                 "; prepack --help lists them");
}

/// Parses the command line, which runs the command.
int run(CLI::App& app, int argc, char** argv) {
  std::ostringstream out;
  std::ostringstream err;
  int exit_code = kDone;
  try {
    check_command(app, argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version end the same way, but are no errors.
    exit_code = app.exit(error, out, err) == 0 ? kDone : kUsage;
  }
  prepack::cli::write_standard_output(out.str());
  prepack::cli::flush_standard_output();
  prepack::cli::write_standard_error(err.str());
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  keep_heap();
  prepack::cli::open_standard_descriptors();
  CLI::App app(
      "Prepacking inference for Llama-style language models: prompts of different lengths "
      "share a forward without padding.");
  app.name("prepack");
  app.set_version_flag("--version", PREPACK_VERSION);
  app.require_subcommand(1);
  app.fallthrough(false);
  prepack::cli::add_generate_command(app);
  prepack::cli::add_prefill_command(app);
  prepack::cli::add_compare_command(app);
  prepack::cli::add_bench_command(app);
  prepack::cli::add_verify_command(app);
  prepack::cli::add_score_command(app);
  prepack::cli::add_plan_command(app);
  prepack::cli::add_tokenize_command(app);
  prepack::cli::add_info_command(app);

  try {
    return run(app, argc, argv);
  } catch (const prepack::cli::UsageError& error) {
    report(error.what());
    return kUsage;
  } catch (const std::bad_alloc&) {
    return report("out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return report(error.path1().string() + ": " + error.code().message());
  } catch (const std::exception& error) {
    return report(error.what());
  }
}
