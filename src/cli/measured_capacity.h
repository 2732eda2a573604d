#pragma once

#include "cli/job.h"

namespace prepack::cli {

/// With --capacity auto, sets the job's capacity: to what was measured before for this machine,
/// model and kind of job, or else by a measurement, which is remembered in the file
/// prepack/capacities.json of the user's cache folder (XDG_CACHE_HOME, or ~/.cache). A file that
/// cannot be read or written is no error.
void choose_capacity(Job& job, const Model& model);

}  // namespace prepack::cli
