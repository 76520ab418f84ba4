// Reads the losses of a run and draws them, as text for a terminal and as SVG.
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
  std::optional<double> floor;               // entropy of the text, if known
};

// Reads the finite values of `loss` and `val_loss` from a run's metrics.jsonl. If a step has several values of `loss`
// or of `val_loss`, the last value counts. Rows that cannot be parsed are skipped, with one note for all of them.
LossCurves read_loss_curves(const std::filesystem::path& metrics, const Note& note);

// A chart as UTF-8 text: `rows` lines of `columns` characters, and the step axis and a legend below them. The loss axis
// is logarithmic. Braille dots show the training loss; the letter o marks validation losses. Losses that are not
// positive are left out. Returns "" if there are points at fewer than two steps, or if the chart would be too small.
std::string loss_chart_text(const LossCurves& curves, int columns = 76, int rows = 15);

// The same losses as a self-contained SVG. Returns "" if there are points at fewer than two steps.
std::string loss_chart_svg(const LossCurves& curves);

}  // namespace rowan
