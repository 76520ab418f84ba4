#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "sharding/ownership.h"

namespace rowan {
namespace {

enum class Recipe { adamw, rows, matrices };

// A LLaMA of the given sizes, and the costs of its updates. The cost of Newton-Schulz grows with max * min^2 of a
// matrix's sides.
struct Case {
  ParameterTable table;
  std::vector<UpdateCost> costs;

  Case(Recipe recipe, int64_t layers, int64_t hidden, int64_t intermediate, int64_t kv, int64_t vocabulary) {
    add(Recipe::adamw, "embed", Role::embedding, {vocabulary, hidden}, 0);
    for (int64_t l = 0; l < layers; ++l) {
      int block = static_cast<int>(l) + 1;
      std::string layer = std::to_string(l);
      add(Recipe::adamw, layer + ".norm1", Role::norm, {hidden}, block);
      add(recipe, layer + ".q", Role::matrix, {hidden, hidden}, block);
      add(recipe, layer + ".k", Role::matrix, {kv, hidden}, block);
      add(recipe, layer + ".v", Role::matrix, {kv, hidden}, block);
      add(recipe, layer + ".o", Role::matrix, {hidden, hidden}, block);
      add(Recipe::adamw, layer + ".norm2", Role::norm, {hidden}, block);
      add(recipe, layer + ".gate", Role::matrix, {intermediate, hidden}, block);
      add(recipe, layer + ".up", Role::matrix, {intermediate, hidden}, block);
      add(recipe, layer + ".down", Role::matrix, {hidden, intermediate}, block);
    }
    add(Recipe::adamw, "norm", Role::norm, {hidden}, static_cast<int>(layers) + 1);
    add(Recipe::adamw, "head", Role::head, {vocabulary, hidden}, static_cast<int>(layers) + 1);
  }

  void add(Recipe recipe, const std::string& name, Role role, std::vector<int64_t> shape, int block) {
    Parameter parameter;
    parameter.name = name, parameter.role = role, parameter.shape = shape, parameter.block = block;
    double n = static_cast<double>(parameter.numel());
    double inner = static_cast<double>(std::min(parameter.rows(), parameter.cols()));
    costs.push_back(recipe == Recipe::adamw  ? UpdateCost{Atom::element, 12 * n, 12 * n}
                    : recipe == Recipe::rows ? UpdateCost{Atom::row, 8 * n, 8 * n}
                                             : UpdateCost{Atom::matrix, 20 * n * inner, 8 * n});
    table.add(parameter);
  }
};

struct Sizes {
  const char* name;
  int64_t layers, hidden, intermediate, kv, vocabulary;
};
constexpr Sizes llama_130m{"llama_130m", 12, 768, 2048, 768, 32000};
constexpr Sizes llama_350m{"llama_350m", 24, 1024, 2736, 1024, 32000};
constexpr Sizes smollm2_135m{"smollm2_135m", 30, 576, 1536, 192, 49152};

Case make(Recipe recipe, const Sizes& s) {
  return Case(recipe, s.layers, s.hidden, s.intermediate, s.kv, s.vocabulary);
}

void expect_a_partition(const Case& c, const Ownership& plan) {
  size_t k = 0;
  for (size_t i = 0; i < c.costs.size(); ++i) {
    const Parameter& parameter = c.table.parameters()[i];
    int64_t next = 0;
    for (; k < plan.pieces().size() && plan.pieces()[k].parameter == static_cast<int>(i); ++k) {
      const OwnedPiece& piece = plan.pieces()[k];
      ASSERT_EQ(piece.begin, next) << parameter.name;
      ASSERT_GT(piece.count, 0);
      ASSERT_GE(piece.owner, 0);
      ASSERT_LT(piece.owner, plan.ranks());
      if (c.costs[i].atom == Atom::matrix) {
        ASSERT_EQ(piece.count, parameter.numel());
      } else if (c.costs[i].atom == Atom::row) {
        ASSERT_EQ(piece.begin % parameter.cols(), 0);
      }
      next += piece.count;
    }
    ASSERT_EQ(next, parameter.numel()) << parameter.name;
  }
  ASSERT_EQ(k, plan.pieces().size());
}

TEST(Ownership, CoversEveryElementOnceAtAtomBoundaries) {
  for (Recipe recipe : {Recipe::adamw, Recipe::rows, Recipe::matrices}) {
    for (int ranks : {1, 2, 3, 4, 7, 8, 16, 64}) {
      Case c = make(recipe, llama_130m);
      expect_a_partition(c, Ownership(c.table, c.costs, ranks));
    }
  }
  Case odd(Recipe::rows, 3, 7, 13, 5, 11);
  for (int ranks : {1, 2, 3, 4}) expect_a_partition(odd, Ownership(odd.table, odd.costs, ranks));
}

TEST(Ownership, IsBalancedOnEightRanks) {
  for (const Sizes& sizes : {llama_130m, llama_350m, smollm2_135m}) {
    for (Recipe recipe : {Recipe::adamw, Recipe::rows, Recipe::matrices}) {
      Case c = make(recipe, sizes);
      Ownership plan(c.table, c.costs, 8);
      EXPECT_LE(plan.work_balance(), 1.08) << sizes.name;
      EXPECT_LE(plan.memory_balance(), 1.08) << sizes.name;
    }
  }
}

TEST(Ownership, BalancesMatchThePublishedPackings) {
  // The largest load divided by the mean load of 8 ranks, if each matrix, in descending order of cost, goes to the rank
  // with the least load so far.
  Case small = make(Recipe::matrices, llama_130m), large = make(Recipe::matrices, llama_350m);
  EXPECT_NEAR(Ownership(small.table, small.costs, 8).work_balance(), 1.019, 0.002);
  EXPECT_NEAR(Ownership(large.table, large.costs, 8).work_balance(), 1.000, 0.002);
}

TEST(Ownership, EveryBlockOfElementsHasAllRanksForOwners) {
  Case c = make(Recipe::adamw, llama_130m);
  Ownership plan(c.table, c.costs, 4);
  for (int block = 0; block <= 13; ++block) {
    std::vector<int64_t> elements(4);
    for (const OwnedPiece& piece : plan.pieces()) {
      if (c.table.parameters()[piece.parameter].block == block) elements[piece.owner] += piece.count;
    }
    auto [least, most] = std::minmax_element(elements.begin(), elements.end());
    EXPECT_LE(*most - *least, 4096) << block;
  }
}

// The update of q takes more work than a rank's share. If q can be cut at blocks of rows, it is divided among ranks.
// With little work, q stays in one piece.
TEST(Ownership, CutsAtBlocks) {
  Case c(Recipe::matrices, 1, 64, 48, 16, 32);
  const size_t q = 2;
  ASSERT_EQ(c.table.parameters()[q].name, "0.q");
  c.costs[q].work *= 40;
  const Ownership whole(c.table, c.costs, 4);
  EXPECT_GT(whole.work_balance(), 2);
  c.costs[q].block_rows = 4;
  const Ownership cut(c.table, c.costs, 4);
  EXPECT_LE(cut.work_balance(), 1.2);
  int64_t next = 0;
  size_t pieces = 0;
  for (const OwnedPiece& piece : cut.pieces()) {
    if (piece.parameter != static_cast<int>(q)) {
      if (c.costs[piece.parameter].atom == Atom::matrix) {
        EXPECT_EQ(piece.count, c.table.parameters()[piece.parameter].numel());
      }
      continue;
    }
    EXPECT_EQ(piece.begin, next);
    EXPECT_EQ(piece.count % (4 * 64), 0);
    next += piece.count;
    ++pieces;
  }
  EXPECT_EQ(next, 64 * 64);
  EXPECT_LE(pieces, 16u);
  c.costs[q].work /= 400;
  const Ownership small(c.table, c.costs, 2);
  EXPECT_EQ(std::count_if(small.pieces().begin(), small.pieces().end(),
                          [&](const OwnedPiece& piece) { return piece.parameter == static_cast<int>(q); }),
            1);
}

TEST(Ownership, TwoPlansAreTheSame) {
  Case c = make(Recipe::matrices, smollm2_135m);
  Ownership a(c.table, c.costs, 6), b(c.table, c.costs, 6);
  ASSERT_EQ(a.pieces().size(), b.pieces().size());
  for (size_t i = 0; i < a.pieces().size(); ++i) EXPECT_EQ(a.pieces()[i].owner, b.pieces()[i].owner);
}

TEST(Ownership, MoreRanksThanAtomsIsAnError) {
  Case tiny(Recipe::matrices, 1, 4, 4, 4, 8);
  try {
    Ownership(tiny.table, tiny.costs, 100);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("found 100 ranks, expected at most"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace rowan
