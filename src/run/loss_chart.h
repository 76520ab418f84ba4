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
  std::optional<double> floor;               // a horizontal line: the entropy of the text, where it is known
};

// Reads the metrics.jsonl of a run: rows with `step` and `loss` or `val_loss`. Of a step that a resumed run repeated,
// the last row counts. Rows that cannot be read are left out, with one note.
LossCurves read_loss_curves(const std::filesystem::path& metrics, const Note& note);

// UTF-8 text, `columns` characters wide, of `rows` lines and an axis; the loss axis is logarithmic. Braille dots show
// the training loss, o the validation loss. Empty when there are fewer than two finite points.
std::string loss_chart_text(const LossCurves& curves, int columns = 76, int rows = 15);

// The same chart as a self-contained SVG.
std::string loss_chart_svg(const LossCurves& curves);

}  // namespace rowan
