// Charts of a run's losses: text for the terminal at the end of a run, and loss.svg in its directory.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "run/metrics.h"

namespace rowan {

struct LossPoint {
  double step, loss;  // loss in nats
};

struct LossCurves {
  std::vector<LossPoint> train, validation;  // points by ascending step
  std::optional<double> floor;               // entropy of the text, if known; drawn as a horizontal line
};

// Reads the metrics.jsonl of a run: rows with `step` and `loss` or `val_loss`. If a step has several rows, because a
// resumed run repeated it, the last row counts. Rows that cannot be parsed are skipped, with one note for all of them.
LossCurves read_loss_curves(const std::filesystem::path& metrics, const Note& note);

// A chart as UTF-8 text: `rows` lines of `columns` characters, and the step axis below them. The loss axis is
// logarithmic. Braille dots show the training loss; the letter o marks validation losses. Returns "" for fewer than two
// finite points.
std::string loss_chart_text(const LossCurves& curves, int columns = 76, int rows = 15);

// The same chart as a self-contained SVG.
std::string loss_chart_svg(const LossCurves& curves);

}  // namespace rowan
