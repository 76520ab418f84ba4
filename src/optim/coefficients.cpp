// Coefficients of Newton-Schulz iterations.
#include <algorithm>
#include <map>

#include "optim/recipe.h"

namespace rowan {
namespace {

struct Set {
  double safety;  // multiplies the norm by which the matrix is divided
  std::vector<Quintic> steps;
};

constexpr Quintic keller = {3.4445, -4.7750, 2.0315};

// Sources: Muon (keller); Emerging-Optimizers (quintic, cans, aol, deepseekv4, and polar_express, whose coefficients
// contain a safety factor of 1.01); arXiv 2505.16932 with the safety factor of modded-nanogpt (polar_express_5);
// arXiv 2606.00371 (cubic); modded-nanogpt's third track (track3, meant for 12 steps). With ns_normalize frobenius, the
// first step of the set aol flips the sign of singular values above 0.88 ||x||_F, so none should be larger.
const std::map<std::string, Set>& sets() {
  static const std::map<std::string, Set> all = {
      {"keller", {1, {keller}}},
      {"deepseekv4", {1, {keller, keller, keller, keller, keller, keller, keller, keller, {2, -1.5, 0.5}}}},
      {"quintic",
       {1,
        {{4.0848, -6.8946, 2.9270},
         {3.9505, -6.3029, 2.6377},
         {3.7418, -5.5913, 2.3037},
         {2.8769, -3.1427, 1.2046},
         {2.8366, -3.0525, 1.2012}}}},
      {"polar_express",
       {1,
        {{8.2051, -22.9019, 16.4607},
         {4.0664, -2.8612, 0.5184},
         {3.9096, -2.8234, 0.5250},
         {3.2856, -2.4153, 0.4853},
         {2.2779, -1.6198, 0.3985},
         {1.8726, -1.2307, 0.3585},
         {1.8564, -1.2132, 0.3568},
         {1.875, -1.25, 0.375}}}},
      {"polar_express_5",
       {1.02,
        {{8.156554524902461, -22.48329292557795, 15.878769915207462},
         {4.042929935166739, -2.808917465908714, 0.5000178451051316},
         {3.8916678022926607, -2.772484153217685, 0.5060648178503393},
         {3.285753657755655, -2.3681294933425376, 0.46449024233003106},
         {2.3465413258596377, -1.7097828382687081, 0.42323551169305323}}}},
      {"cans",
       {1,
        {{8.4703, -25.1081, 18.6293},
         {4.1828, -3.1087, 0.5806},
         {3.9619, -2.9541, 0.5630},
         {3.2866, -2.4647, 0.5074},
         {2.2737, -1.6447, 0.4162}}}},
      {"aol",
       {1,
        {{4.0098, -7.0585, 2.4635}, {3.4585, -5.5479, 2.5959}, {2.7573, -3.2939, 1.4254}, {2.7215, -3.0494, 1.3169}}}},
      {"cubic",
       {1,
        {{3.3656576, -3.3420992, 0},
         {2.5744352, -1.4957376, 0},
         {2.5368962, -1.4312570, 0},
         {2.4418906, -1.2764040, 0},
         {2.2230472, -0.9630650, 0}}}},
      {"track3", {1, {{2, -1.5, 0.5}}}},
  };
  return all;
}

// Pade's quintic has the fixed point 1 and third-order convergence. Small singular values grow by a factor of 15/8 in
// each step, so `polar_steps` steps suffice for singular values down to 1e-7 of the norm.
constexpr Quintic pade = {1.875, -1.25, 0.375};
constexpr int polar_steps = 36;

}  // namespace

std::vector<std::string> coefficient_sets() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : sets()) names.push_back(name);
  return names;
}

std::vector<Quintic> iterations(const Recipe& recipe) {
  if (recipe.direction == Direction::polar) return std::vector<Quintic>(polar_steps, pade);
  const std::vector<Quintic>& given =
      recipe.ns_coefficients == "list" ? recipe.ns_list : sets().at(recipe.ns_coefficients).steps;
  std::vector<Quintic> steps;
  for (size_t i = 0; i < static_cast<size_t>(recipe.ns_steps); ++i)
    steps.push_back(given[recipe.ns_repeat == Repeat::all ? i % given.size() : std::min(i, given.size() - 1)]);
  return steps;
}

double norm_safety(const Recipe& recipe) {
  if (recipe.ns_safety > 0) return recipe.ns_safety;
  if (recipe.direction == Direction::polar || recipe.ns_coefficients == "list") return 1;
  return sets().at(recipe.ns_coefficients).safety;
}

}  // namespace rowan
