// Pictures of a run's losses: characters for the terminal at the end of a run, and a file loss.svg for its directory.
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
  std::vector<LossPoint> train, validation;  // by ascending step
  std::optional<double> floor;               // a line across the picture: the entropy of the text, where it is known
};

// From the metrics.jsonl of a run: rows with `step` and `loss` or `val_loss`. A step that a resumed run repeated counts
// as it was the last time. Rows that cannot be read are left out, with one note.
LossCurves read_loss_curves(const std::filesystem::path& metrics, const Note& note);

// UTF-8 text of `columns` characters and `rows` lines and an axis; the loss axis is logarithmic. Braille dots are the
// training loss, o the validation loss. Empty when there are not two finite points to draw.
std::string loss_chart_text(const LossCurves& curves, int columns = 76, int rows = 15);

// The same as a self-contained SVG.
std::string loss_chart_svg(const LossCurves& curves);

}  // namespace rowan
