// Tests which recipe updates which parameter, by roles, names and rates, and which groups and keys are refused because
// they would update nothing.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "optim/recipe.h"
#include "optim/routing.h"
#include "unit/optim/optimizer_bench.h"

namespace rowan::test {
namespace {

ParameterTable table() {
  ParameterTable table;
  table.add({"model.embed_tokens.weight", Role::embedding, {32, 8}});
  Parameter queries{"model.layers.0.self_attn.q_proj.weight", Role::matrix, {8, 8}};
  queries.head_rows = 4;
  table.add(queries);
  table.add({"model.layers.0.mlp.down_proj.weight", Role::matrix, {8, 24}});
  table.add({"model.norm.weight", Role::norm, {8}});
  table.add({"lm_head.weight", Role::head, {32, 8}});
  return table;
}

std::vector<std::string> split(const std::string& config) {
  std::vector<std::string> result;
  const OptimizerConfig parsed = optimizer_config(config);
  const ParameterTable parameters = table();
  for (const Parameter& p : parameters.parameters()) {
    const Recipe& r = *parsed.groups[group_of(parsed, p)].recipe;
    result.push_back(fmt::format("{} {} {}", r.name, r.lr, r.weight_decay));
  }
  return result;
}

using Split = std::vector<std::string>;

TEST(Routing, AdamWMayHaveRatesOfEmbeddingsAndVectors) {
  EXPECT_EQ(split(R"({"name": "track3-muon"})"),
            (Split{"adamw 0.7 0.001", "track3-muon 0.025 0.05", "track3-muon 0.025 0.05", "adamw 0.015 0.001",
                   "adamw 0.004 0.001"}));
  EXPECT_EQ(split(R"({"name": "track3-normuon", "adamw": {"vector_lr": 3}})"),
            (Split{"adamw 0.3 0", "track3-normuon 0.035 0.025", "track3-normuon 0.035 0.025", "adamw 3 0",
                   "adamw 0.003125 0"}));
  EXPECT_EQ(split(R"({"name": "muon", "lr": 2, "adamw": {"lr": 3, "embedding_lr": 4}})"),
            (Split{"adamw 4 0", "muon 2 0", "muon 2 0", "adamw 3 0", "adamw 3 0"}));
}

TEST(Routing, RoutingsOfThePapers) {
  EXPECT_EQ(split(R"({"name": "muoneq-r", "lr": 2, "weight_decay": 0.1})"),
            (Split{"adamw 2 0.1", "muoneq-r 2 0.1", "muoneq-r 2 0.1", "adamw 2 0.1", "adamw 2 0.1"}));
  EXPECT_EQ(split(R"({"name": "namo", "lr": 2})"),
            (Split{"adamw 2 0", "namo 2 0.1", "namo 2 0.1", "adamw 2 0", "adamw 2 0"}));
  EXPECT_EQ(split(R"({"name": "rmnp", "lr": 2, "routing": "two_dimensional", "adamw": {"lr": 3}})"),
            (Split{"rmnp 2 0.1", "rmnp 2 0.1", "rmnp 2 0.1", "adamw 3 0.1", "rmnp 2 0.1"}));
  EXPECT_EQ(split(R"({"name": "adamw", "lr": 2, "weight_decay": 0.1})"),
            (Split{"adamw 2 0.1", "adamw 2 0.1", "adamw 2 0.1", "adamw 2 0", "adamw 2 0.1"}));
  EXPECT_EQ(split(R"({"name": "adamw", "lr": 2, "weight_decay": 0.1, "routing": "hidden"})"),
            (Split{"adamw 2 0.1", "adamw 2 0.1", "adamw 2 0.1", "adamw 2 0", "adamw 2 0.1"}));
  EXPECT_EQ(split(R"({"name": "muon", "lr": 2, "adamw": {"lr": 3, "weight_decay": 0.1, "vector_weight_decay": 0}})"),
            (Split{"adamw 3 0.1", "muon 2 0", "muon 2 0", "adamw 3 0", "adamw 3 0.1"}));
  EXPECT_EQ(split(R"({"name": "muon", "lr": 2, "groups": [{"names": ["*.q_proj.*"], "name": "nora", "lr": 5},
                                                          {"roles": ["head"], "lr": 7}]})"),
            (Split{"adamw 0.0003 0", "nora 5 0", "muon 2 0", "adamw 0.0003 0", "muon 7 0"}));
  EXPECT_ERROR(optimizer_config(R"({"name": "muon", "groups": [{"name": "nora"}]})"),
               "groups.0.names: found neither roles nor names");
  EXPECT_ERROR(optimizer_config(R"({"name": "muon", "groups": [{"roles": ["heads"]}]})"), "did you mean 'head'");
}

std::string routing_refusal(const std::string& text) {
  auto source = std::make_shared<JsonSource>(JsonSource{"test.json", text});
  Json json = parse_json(*source);
  return error_of([&] { check_routing(JsonObject(source, json), optimizer_config(text), table()); });
}

TEST(Routing, BlocksOfHeadsNeedHeads) {
  const auto refusal = [](const std::string& names) {
    return routing_refusal(R"({"name": "muon", "groups": [{"names": [")" + names +
                           R"("], "name": "muon", "blocks": "heads"}]})");
  };
  EXPECT_EQ(refusal("*.mlp.*"),
            "test.json:1: groups.0.blocks: has no effect here: no parameter of the group has heads");
  EXPECT_EQ(refusal("*.q_proj.*"), "");
}

// A group of the recipe adamw does not take the rates of the vectors or embeddings that it takes over.
TEST(Routing, RatesOfVectorsThatGroupsTakeAreRefused) {
  const std::string norms = R"("groups": [{"roles": ["norm"], "name": "adamw"}])",
                    embedding = R"("groups": [{"roles": ["embedding"], "name": "adamw"}])";
  const auto refusal = [](const std::string& adamw, const std::string& groups) {
    return routing_refusal(R"({"name": "muon", "adamw": {)" + adamw + "}, " + groups + "}");
  };
  for (const char* key : {"vector_lr", "vector_weight_decay"})
    EXPECT_EQ(
        refusal(fmt::format("\"{}\": 0.5", key), norms),
        fmt::format("test.json:1: adamw.{}: has no effect here: groups update all vectors; set it in the group", key));
  EXPECT_NE(refusal(R"("embedding_lr": 0.5)", embedding)
                .find("adamw.embedding_lr: has no effect here: groups update all "
                      "embeddings"),
            std::string::npos);
  EXPECT_EQ(refusal(R"("vector_lr": 0.5)", embedding), "");
  EXPECT_EQ(refusal(R"("embedding_lr": 0.5)", norms), "");
}

// Tables and sweeps show the main recipe and its rate.
TEST(Routing, AMainRecipeThatUpdatesNothingIsRefused) {
  const std::string nora = R"("groups": [{"roles": ["matrix"], "name": "nora", "lr": 1}])";
  EXPECT_EQ(routing_refusal(R"({"name": "muon", )" + nora + "}"),
            "test.json:1: name: found muon, which updates nothing: groups take all of its parameters; name the recipe "
            "of a group here");
  EXPECT_EQ(routing_refusal(R"({"name": "nora", )" + nora + "}"), "") << "the group begins with the main values";
  EXPECT_NE(routing_refusal(R"({"name": "nora", "variant": "paper", "groups": [{"roles": ["matrix"], "name": "nora",
                                "variant": "code"}]})")
                .find("name: found nora, which updates nothing"),
            std::string::npos);
  EXPECT_EQ(routing_refusal(R"({"name": "muon", "routing": "two_dimensional", )" + nora + "}"), "");
  EXPECT_EQ(routing_refusal(R"({"name": "adamw", )" + nora + "}"), "");
  EXPECT_NE(routing_refusal(R"({"name": "adamw", "groups": [{"names": ["*"], "name": "lion"}]})")
                .find("name: found adamw, which updates nothing"),
            std::string::npos);
}

TEST(Routing, AdamWIsRefusedWhereGroupsLeaveItNothing) {
  const auto refusal = [](const std::string& adamw, const std::string& groups) {
    return routing_refusal(R"({"name": "muon", "adamw": {)" + adamw + R"(}, "groups": [)" + groups + "]}");
  };
  const std::string most = R"({"roles": ["embedding", "head"], "name": "lion"})",
                    norms = R"({"roles": ["norm"], "name": "lion"})";
  for (const char* key : {"lr", "lr_ratio", "weight_decay"})
    EXPECT_EQ(
        refusal(fmt::format("\"{}\": 0.5", key), most + ", " + norms),
        fmt::format("test.json:1: adamw.{}: has no effect here: groups update all parameters that adamw would", key));
  EXPECT_EQ(refusal("", most + ", " + norms), "");
  EXPECT_EQ(refusal(R"("lr": 0.5)", most), "") << "vectors have this rate";
  EXPECT_EQ(refusal(R"("lr": 0.5)", most + R"(, {"roles": ["norm"], "name": "adamw"})"), "")
      << "the group begins with it";
  const std::string own = "has no effect here: all parameters of adamw have a rate of their own";
  EXPECT_NE(refusal(R"("lr": 0.5, "vector_lr": 1)", most).find("adamw.lr: " + own), std::string::npos);
  EXPECT_NE(refusal(R"("lr_ratio": 0.5, "vector_lr": 1, "embedding_lr": 2)", R"({"roles": ["head"], "name": "lion"})")
                .find("adamw.lr_ratio: " + own),
            std::string::npos);
  EXPECT_EQ(
      refusal(R"("lr": 0.5, "vector_lr": 1, "embedding_lr": 2)", R"({"roles": ["norm"], "name": "lion"})").find(own),
      std::string::npos)
      << "the head has this rate";
}

TEST(Routing, AGroupOfTheMainRecipeAndVariantBeginsWithItsValues) {
  const OptimizerConfig config = optimizer_config(
      R"({"name": "rmnp", "lr": 0.5, "groups": [{"names": ["*.q_proj.*"], "variant": "code"},
                                                 {"names": ["*.k_proj.*"]},
                                                 {"names": ["*.v_proj.*"], "variant": "paper"}]})");
  EXPECT_EQ(config.groups[0].recipe->lr, 0.5);
  EXPECT_EQ(config.groups[1].recipe->lr, 0.5);
  EXPECT_NE(config.groups[2].recipe->lr, 0.5) << "another variant has its own values";
}

TEST(Routing, AGroupThatTakesNothingIsRefused) {
  EXPECT_EQ(routing_refusal(R"({"name": "muon", "groups": [{"names": ["*.q_proj.*", "*.x"], "lr": 1}]})"), "");
  EXPECT_EQ(routing_refusal(R"({"name": "muon", "groups": [{"names": "*.q_porj.*"}]})"),
            "test.json:1: groups.0.names: no parameter of the model is left for *.q_porj.*; did you mean 'q_proj'?");
  EXPECT_NE(routing_refusal(R"({"name": "muon", "groups": [{"roles": ["bias"], "name": "adamw"}]})").find("roles"),
            std::string::npos);
  EXPECT_NE(
      routing_refusal(R"({"name": "muon", "groups": [{"names": "*proj*"}, {"names": "*q_proj*"}]})").find("groups.1"),
      std::string::npos);
  EXPECT_NE(routing_refusal(R"({"name": "muon", "groups": [{"names": "model.norm.*"}]})").find("is not a matrix"),
            std::string::npos);
}

TEST(Routing, AMatrixRecipeOnAVectorIsRefused) {
  const OptimizerConfig config =
      optimizer_config(R"({"name": "muon", "groups": [{"roles": ["norm"], "name": "muon"}]})");
  const ParameterTable parameters = table();
  EXPECT_THROW(group_of(config, parameters.find("model.norm.weight")), Error);
  EXPECT_THROW(describe_groups(config, parameters), Error);
}

TEST(Routing, AtomsAndTheSplitInWords) {
  const ParameterTable parameters = table();
  const Parameter& q = parameters.parameters()[1];
  EXPECT_EQ(atom_of(optimizer_config(R"({"name": "adamw"})"), q), Atom::element);
  EXPECT_EQ(atom_of(optimizer_config(R"({"name": "lion"})"), q), Atom::element);
  EXPECT_EQ(atom_of(optimizer_config(R"({"name": "nora"})"), q), Atom::row);
  EXPECT_EQ(atom_of(optimizer_config(R"({"name": "rmnp", "adapt": "matrix"})"), q), Atom::matrix);
  EXPECT_EQ(atom_of(optimizer_config(R"({"name": "mano"})"), q), Atom::matrix);
  EXPECT_EQ(atom_of(optimizer_config(R"({"name": "mano"})"), parameters.parameters()[3]), Atom::element);
  const std::string text = describe_groups(optimizer_config(R"({"name": "nora"})"), parameters);
  EXPECT_NE(text.find("matrices [matrix]: 2 tensors, 256 elements, lr 0.005"), std::string::npos) << text;
}

}  // namespace
}  // namespace rowan::test
