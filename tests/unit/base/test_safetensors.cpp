#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "shared_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class SafeTensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("rowan_safetensors_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  // Writes a file with this JSON header, followed by `data`.
  fs::path raw(const std::string& json, const std::string& data) {
    uint64_t size = json.size();
    std::ofstream(dir_ / "raw", std::ios::binary)
        << std::string(reinterpret_cast<const char*>(&size), 8) << json << data;
    return dir_ / "raw";
  }
  std::string error_of(const std::string& json, const std::string& data) {
    try {
      SafeTensors file(raw(json, data));
    } catch (const Error& error) {
      std::string message = error.what();
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message;
    }
    return "";
  }
  fs::path dir_;
};

TEST_F(SafeTensorsTest, WhatIsWrittenIsRead) {
  const float a[6] = {1, 2, 3, 4, 5, -6.5f};
  const bf16 b[3] = {to_bf16(0.5f), to_bf16(-2.0f), to_bf16(3.0f)};
  SafeTensorsWriter writer(dir_ / "x.safetensors",
                           {{"half", "BF16", {3}}, {"none", "F32", {0, 4}}, {"a \"b\"", "F32", {2, 3}}},
                           {{"format", "pt"}});
  writer.write("a \"b\"", a);
  writer.write("half", b);
  EXPECT_FALSE(fs::exists(dir_ / "x.safetensors"));
  writer.commit();

  SafeTensors file(dir_ / "x.safetensors");
  EXPECT_EQ(file.header(), writer.header());
  EXPECT_EQ(file.header().size() % 64, 0u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.find("a \"b\"").describe(), "F32[2, 3]");
  EXPECT_EQ(read_floats(file.find("a \"b\"")), std::vector<float>(a, a + 6));
  EXPECT_EQ(read_floats(file.find("half")), (std::vector<float>{0.5f, -2.0f, 3.0f}));
  EXPECT_EQ(file.find("none").numel(), 0);
  try {
    file.find("halve");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("no tensor 'halve'; did you mean 'half'?"), std::string::npos);
  }
}

TEST_F(SafeTensorsTest, WriterRefusesGapsAndStrangers) {
  SafeTensorsWriter writer(dir_ / "x", {{"a", "F32", {1}}});
  EXPECT_THROW(writer.write("b", ""), Error);
  EXPECT_THROW(writer.commit(), Error);
  EXPECT_THROW(SafeTensorsWriter(dir_ / "y", {{"a", "F32", {1}}, {"a", "F32", {1}}}), Error);
  EXPECT_THROW(SafeTensorsWriter(dir_ / "y", {{"a", "F33", {1}}}), Error);
}

TEST_F(SafeTensorsTest, ReadsOtherFloats) {
  const uint16_t half[6] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x8000, 0x3555};
  EXPECT_EQ(error_of(R"({"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]}}         )",
                     std::string(reinterpret_cast<const char*>(half), sizeof half)),
            "");
  SafeTensors file(dir_ / "raw");
  std::vector<float> values = read_floats(file.find("h"));
  EXPECT_EQ(values[0], 1.0f);
  EXPECT_EQ(values[1], -2.0f);
  EXPECT_EQ(values[2], 5.9604644775390625e-8f);
  EXPECT_EQ(values[3], INFINITY);
  EXPECT_EQ(values[4], 0.0f);
  EXPECT_EQ(values[5], 0.333251953125f);
}

// Versions of safetensors before 0.3, and some other writers, do not pad the header.
TEST_F(SafeTensorsTest, UnalignedTensorsAreRead) {
  const uint16_t bf[2] = {0x3f80, 0xc000}, half[2] = {0x3c00, 0xc000};
  const float single = 0.1f;
  const double twice = -0.25;
  std::string data;
  for (auto [bytes, size] : {std::pair<const void*, size_t>{bf, 4}, {half, 4}, {&single, 4}, {&twice, 8}})
    data.append(static_cast<const char*>(bytes), size);
  for (size_t pad = 0; pad < 8; ++pad) {
    const std::string header = R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},)"
                               R"("h":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},)"
                               R"("f":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                               R"("d":{"dtype":"F64","shape":[1],"data_offsets":[12,20]}})";
    SafeTensors file(raw(header + std::string(pad, ' '), data));
    EXPECT_EQ(read_floats(file.find("b")), (std::vector<float>{1, -2}));
    EXPECT_EQ(read_floats(file.find("h")), (std::vector<float>{1, -2}));
    EXPECT_EQ(read_floats(file.find("f")), (std::vector<float>{0.1f}));
    EXPECT_EQ(read_floats(file.find("d")), (std::vector<float>{-0.25f}));
  }
}

TEST_F(SafeTensorsTest, DamageIsNamed) {
  const std::string eight(8, 'x');
  auto contains = [&](const std::string& json, const std::string& data, const std::string& part) {
    std::string message = error_of(json, data);
    EXPECT_NE(message.find(part), std::string::npos) << json << " gave: " << message;
  };
  const char* good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  )";
  EXPECT_EQ(error_of(good, eight), "");
  contains(good, "xxxx", "raw: tensor 'a': found bytes up to 8, expected at most 4");
  contains(good, eight + "x", "1 bytes after the last tensor");
  contains(R"({"a":{"dtype":"F3","shape":[2],"data_offsets":[0,8]}})", eight,
           "tensor 'a': found the unknown dtype 'F3'");
  contains(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", eight, "found 8 bytes, expected 12 for F32[3]");
  contains(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", eight, "'shape': found -2, expected a count");
  contains(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]}})", eight, "too many elements");
  contains(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", eight, "data_offsets: expected [begin, end]");
  contains(R"({"a":{"dtype":"F32","shape":[2]}})", eight, "no list 'data_offsets'");
  contains(R"({"a":7})", eight, "not an object");
  contains(R"([1])", eight, "the header is not a JSON object");
  contains(R"({"a":)", eight, "not valid JSON");
  contains(R"({"a":1e999})", eight, "not valid JSON");
  contains(R"({"a":{},"a":{}})", eight, "appears twice");
  contains(R"({"__metadata__":{"k":1}})", "", "__metadata__: found no string at 'k'");
  contains(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
      "abc", "tensor 'b' leaves a gap");
  contains(
      R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
      "abc", "tensor 'b' overlaps");
  std::ofstream(dir_ / "short") << "1234";
  EXPECT_THROW(SafeTensors(dir_ / "short"), Error);
  std::ofstream(dir_ / "long") << "12345678 not a safetensors file";
  EXPECT_THROW(SafeTensors(dir_ / "long"), Error);
}

TEST_F(SafeTensorsTest, MetadataMayBeNull) {
  const std::string tensor = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_EQ(error_of(R"({"__metadata__":null,)" + tensor + "}", "x"), "");
  EXPECT_EQ(error_of("{" + tensor + R"(,"__metadata__":{}})", "x"), "");
  EXPECT_EQ(error_of(R"({"__metadata__":null})", ""), "");
  ROWAN_SHARED_OR_SKIP(published, "cases/metadata_null.safetensors");
  EXPECT_EQ(SafeTensors(published).find("transformer.wte.weight").shape, (std::vector<int64_t>{257, 32}));
}

// A time that is quadratic in the number of tensors would make this test very slow.
TEST_F(SafeTensorsTest, HundredThousandTensors) {
  std::vector<TensorInfo> declared;
  for (int i = 0; i < 100'000; ++i) declared.push_back({"tensor." + std::to_string(i), "U8", {1}});
  SafeTensorsWriter writer(dir_ / "many", declared);
  for (const TensorInfo& tensor : declared) writer.write(tensor.name, "x");
  writer.commit();
  EXPECT_EQ(SafeTensors(dir_ / "many").names().size(), 100'000u);
}

TEST_F(SafeTensorsTest, SeveralFilesReadAsOne) {
  const float value[2] = {1, 2};
  std::map<std::string, std::string> file_of;
  for (int part = 0; part < 2; ++part) {
    std::string tensor = part ? "b" : "a", name = safetensors_file_name("model", part, 2);
    SafeTensorsWriter writer(dir_ / name, {{tensor, "F32", {2}}});
    writer.write(tensor, value);
    writer.commit();
    file_of[tensor] = name;
  }
  EXPECT_EQ(file_of["b"], "model-00002-of-00002.safetensors");
  write_safetensors_index(dir_, "model", file_of);
  EXPECT_EQ(Json::parse(read_file(dir_ / "model.safetensors.index.json")).at("metadata").at("total_size"), 16);
  TensorFiles files(dir_, "model");
  EXPECT_EQ(files.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read_floats(files.find("b")), (std::vector<float>{1, 2}));
  EXPECT_EQ(files.file_of("a").filename(), file_of["a"]);
  EXPECT_THROW(files.find("c"), Error);

  // A path opens the file that it names, never the other of these two files.
  const fs::path whole = dir_ / "model.safetensors", index = dir_ / "model.safetensors.index.json";
  EXPECT_THROW(TensorFiles{whole}, Error);
  SafeTensorsWriter writer(whole, {{"c", "F32", {2}}});
  writer.write("c", value);
  writer.commit();
  EXPECT_EQ(TensorFiles(index).names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(TensorFiles(whole).names(), std::vector<std::string>{"c"});
  EXPECT_EQ(TensorFiles(dir_, "model").names(), std::vector<std::string>{"c"});
  fs::remove(whole);

  file_of.erase("b");
  write_safetensors_index(dir_, "model", file_of);
  EXPECT_NO_THROW(TensorFiles(dir_, "model"));  // the index names no tensor of the second file
  file_of["b"] = file_of["a"];
  write_safetensors_index(dir_, "model", file_of);
  EXPECT_THROW(TensorFiles(dir_, "model"), Error);
  write_file_atomically(dir_ / "model.safetensors.index.json", R"({"weight_map": {"b": "../b"}})");
  EXPECT_THROW(TensorFiles(dir_, "model"), Error);
  EXPECT_THROW(TensorFiles(dir_, "absent"), Error);
}

TEST(SafeTensors, ReadsGoldenModels) {
  ROWAN_SHARED_OR_SKIP(path, "golden/models/gpt2/model.safetensors");
  SafeTensors file(path);
  EXPECT_TRUE(file.has("transformer.wte.weight")) << file.names()[0];
}

}  // namespace
}  // namespace rowan
