// The files of a folder decide what may be written to it. An export that is killed leaves the old export or the new
// one.
#include <signal.h>
#include <sys/stat.h>

#include <map>

#include "base/random.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Folders : public TrainCommand {
 protected:
  using Files = std::map<std::string, std::string>;

  static Files contents(const fs::path& folder) {
    Files files;
    if (!fs::exists(folder)) return files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.is_regular_file()) files[fs::relative(entry.path(), folder)] = read_file(entry.path());
    return files;
  }
  std::string export_into(const std::string& name) {
    return "export " + run("run").string() + " " + (dir_ / name).string();
  }
};

TEST_F(Folders, EachKindRefusesEveryOther) {
  write_file_atomically(dir_ / "text.txt", "some text\n");
  write_file_atomically(
      dir_ / "sweep.json",
      Json{{"base", "config.json"}, {"dir", (dir_ / "sweep").string()}, {"axes", {{"optimizer.lr", {0.01, 0.02}}}}}
          .dump());
  const std::string tokenize =
                        "tokenize --tokenizer bytes --validation none " + (dir_ / "text.txt").string() + " --out ",
                    tales = "tales --stories 2 --validation-stories 2 --out ", path = dir_.string() + "/";
  struct Kind {
    std::string name, file, folder, command;  // command lacks its last word, the folder to write
  };
  const Kind kinds[] = {
      {"a run", "starts.jsonl", path + "run", train("--steps 1 --set run.dir=")},
      {"token shards", "manifest.json", path + "shards", tokenize},
      {"tales", "entropy.json", path + "tales", tales},
      {"an exported model", "generation_config.json", path + "exported", "export " + path + "run "},
      {"a sweep", "diverged", path + "sweep", "sweep " + path + "sweep.json --slurm --set dir="},
  };
  for (const Kind& kind : kinds) {
    const Outcome made = rowan(kind.command + kind.folder);
    ASSERT_EQ(made.code, 0) << kind.command << made.err;
  }
  for (const Kind& holds : kinds) {
    const Files before = contents(holds.folder);
    for (const Kind& wanted : kinds) {
      if (holds.name == wanted.name) continue;
      expect_mistake(wanted.command + holds.folder,
                     fmt::format("{}: found {} with its {}, expected {} or an empty folder", holds.folder, holds.name,
                                 holds.file, wanted.name));
    }
    EXPECT_EQ(contents(holds.folder), before) << holds.name;
  }
  const std::string checkpoint = path + "run/checkpoints/step_00000001";
  for (const Kind& wanted : kinds)
    expect_mistake(wanted.command + checkpoint, "found a checkpoint with its state.json, expected " + wanted.name);
  // Each command accepts a folder of its own kind.
  for (const Kind& kind : kinds) EXPECT_EQ(rowan(kind.command + kind.folder).code, 0) << kind.name;
}

TEST_F(Folders, NoFileTakesThePlaceOfAnother) {
  ASSERT_EQ(rowan(train("--steps 1")).code, 0);
  const Files before = contents(run("run"));
  const std::string config = (run("run") / "config.json").string();
  expect_mistake("report " + run("run").string() + " --out " + config,
                 "found a file of another kind, expected a page of rowan report or no file");
  expect_mistake("bench gemm --json " + config,
                 "found a file of another kind, expected results of rowan bench or no file");
  expect_mistake(train("--profile " + config), "found a file of another kind, expected a trace or no file");
  expect_mistake("tokenizer train --out " + config + " " + file().string(),
                 "expected a sentencepiece model or no file");
  EXPECT_EQ(contents(run("run")), before);
  const std::string page = (dir_ / "page.html").string(), pipe = (dir_ / "pipe").string();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(rowan("report " + run("run").string() + " --out " + page).code, 0);
  const fs::path theirs = dir_ / "theirs.html", results = dir_ / "results.json";
  write_file_atomically(theirs, "<!DOCTYPE html>\n<p>mine</p>\n");
  expect_mistake("report " + run("run").string() + " --out " + theirs.string(), "expected a page of rowan report");
  EXPECT_EQ(read_file(theirs), "<!DOCTYPE html>\n<p>mine</p>\n");
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(rowan("bench loader " + (dir_ / "train.bin").string() + " --sequence-length 16 --seconds 0.001 --json " +
                    results.string())
                  .code,
              0);
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_mistake("report " + run("run").string() + " --out " + pipe, "found no regular file, expected a page");
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_THROW(write_file_atomically(pipe, "x"), Error);
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST_F(Folders, ARunHasAFolderOfItsOwn) {
  ASSERT_EQ(rowan(train("--steps 1")).code, 0);
  const Files before = contents(run("run"));
  fs::create_directory_symlink(run("run") / "checkpoints", dir_ / "link");
  expect_mistake(train("--set run.dir=/"), "run.dir: found /, expected a folder of its own");
  for (const char* inside : {"run/checkpoints", "run/tensorboard/", "run/new/deep", "link"})
    expect_mistake(train(into(inside)), fmt::format("run.dir: found {} in the folder of a run, {}; choose",
                                                    run(inside).string(), fs::canonical(run("run")).string()));
  write_file_atomically(dir_ / "sweep.json",
                        Json{{"base", file().string()}, {"dir", run("run/sweep").string()}}.dump());
  expect_mistake("sweep " + (dir_ / "sweep.json").string(),
                 "dir: found " + run("run/sweep").string() + " in the folder");
  EXPECT_EQ(contents(run("run")), before);
  EXPECT_FALSE(fs::exists(run("run") / "new"));
}

// Its config.json still names the folder in which the run began.
TEST_F(Folders, TheConfigOfACopiedRunDoesNotGoOnWithTheOtherRun) {
  ASSERT_EQ(rowan(train("--steps 1")).code, 0);
  fs::copy(run("run"), run("copy"), fs::copy_options::recursive);
  fs::create_directory_symlink(run("run"), run("link"));
  const Files before = contents(run("run"));
  const std::string copy = "train " + (run("copy") / "config.json").string() + " --resume --steps 2";
  expect_mistake(copy, fmt::format("run.dir: found {}, but this is the config of the run in {}, which was moved or",
                                   run("run").string(), run("copy").string()));
  EXPECT_EQ(contents(run("run")), before);
  EXPECT_EQ(rowan(copy + into("copy")).code, 0);
  EXPECT_EQ(contents(run("run")), before);
  EXPECT_EQ(rowan("train " + (run("link") / "config.json").string() + " --resume --steps 2").code, 0);
  EXPECT_EQ(rowan("train " + (run("run") / "config.json").string() + into("new")).code, 0) << "a config for a new run";
}

TEST_F(Folders, WhatOnlyAShellReplacesIsRefused) {
  for (const auto& [dir, part] : {std::pair("~/runs/a", "~"), {"~", "~"}, {"$SCRATCH/a", "$SCRATCH"}})
    expect_mistake(train(fmt::format("--set 'run.dir={}'", dir)),
                   fmt::format("--set run.dir: found {0}, expected a path without {1}, which only a shell replaces; a "
                               "folder of this name is ./{0}",
                               dir, part));
  write_file_atomically(dir_ / "sweep.json", Json{{"base", file().string()}, {"dir", "~/sweep"}}.dump());
  expect_mistake("sweep " + (dir_ / "sweep.json").string(), "dir: run.dir: found ~/sweep/run, expected a path without");
  expect_mistake("tales --out='~/tales'", "~/tales: found a path with ~, which only a shell replaces, expected one");
  EXPECT_FALSE(fs::exists("~") || fs::exists("$SCRATCH"));
}

// Otherwise the runs in it could not go on.
TEST_F(Folders, ARunDoesNotBeginInAFolderOfRuns) {
  ASSERT_EQ(rowan(train("--steps 1" + into("deep/lr/run"))).code, 0);
  for (const char* around : {"deep", "deep/lr"})
    expect_mistake(train(into(around)),
                   fmt::format("run.dir: found {}, which holds the folder of another run, {}; choose a folder for this "
                               "run alone",
                               run(around).string(), run("deep/lr/run").string()));
  EXPECT_FALSE(fs::exists(run("deep/checkpoints")));
  ASSERT_EQ(rowan(train("--resume --steps 2" + into("deep/lr/run"))).code, 0);
}

TEST_F(Folders, AnExportReplacesAnOlderOneAsAWholeAndKeepsWhatIsNotOfIt) {
  write_small_run(run("older"), small_gpt2());
  write_small_run(run("run"), small_llama());
  auto older = [&](const std::string& name) {
    ASSERT_EQ(rowan("export " + run("older").string() + " " + (dir_ / name).string()).code, 0);
    write_file_atomically(dir_ / name / "vocab.json", "of an older version");
  };
  const fs::path parts[] = {dir_ / "fresh.part", dir_ / "whole.part", dir_ / "beside.part", dir_ / "target.part"};
  ASSERT_EQ(rowan(export_into("fresh/")).code, 0);
  const Files fresh = contents(dir_ / "fresh");
  EXPECT_TRUE(fresh.contains("tokenizer.json"));
  older("whole");
  fs::permissions(dir_ / "whole", fs::perms::group_all, fs::perm_options::add);
  ASSERT_EQ(rowan(export_into("whole")).code, 0);
  EXPECT_EQ(contents(dir_ / "whole"), fresh);
  EXPECT_EQ(fs::status(dir_ / "whole").permissions() & fs::perms::group_all, fs::perms::group_all);
  older("target");
  fs::create_directory_symlink(dir_ / "target", dir_ / "link");
  ASSERT_EQ(rowan(export_into("link")).code, 0);
  EXPECT_TRUE(fs::is_symlink(dir_ / "link"));
  EXPECT_EQ(contents(dir_ / "target"), fresh);
  older("beside");
  write_file_atomically(dir_ / "beside/notes.txt", "mine");
  ASSERT_EQ(rowan(export_into("beside")).code, 0);
  Files beside = contents(dir_ / "beside");
  EXPECT_EQ(beside["notes.txt"], "mine");
  beside.erase("notes.txt");
  EXPECT_EQ(beside, fresh);
  older("here");
  ASSERT_EQ(shell("cd " + (dir_ / "here").string() + " && " + rowan_command() + " export ../run .").code, 0);
  EXPECT_EQ(contents(dir_ / "here"), fresh) << "an export into the working directory";
  for (const fs::path& part : parts) EXPECT_FALSE(fs::exists(part)) << part;
}

TEST_F(Folders, NothingIsWrittenOverFilesOfOthers) {
  ASSERT_EQ(rowan(train("--steps 1")).code, 0);
  write_file_atomically(
      dir_ / "sweep.json",
      Json{{"base", "config.json"}, {"dir", (dir_ / "sweep").string()}, {"axes", {{"optimizer.lr", {0.01, 0.02}}}}}
          .dump());
  for (const char* name : {"theirs", "model"}) fs::create_directories(dir_ / name);
  for (const char* name : {"config.json", "table.md", "train.bin", "text.txt"})
    write_file_atomically(dir_ / "theirs" / name, "mine");
  const Files before = contents(dir_ / "theirs");
  const std::string folder = (dir_ / "theirs").string();
  expect_mistake(export_into("theirs"), ", expected an exported model or an empty folder");
  expect_mistake("sweep " + (dir_ / "sweep.json").string() + " --set dir=" + folder,
                 ", expected a sweep or an empty folder");
  expect_mistake("tales --stories 2 --validation-stories 2 --out " + folder,
                 "train.bin: found a file of another kind, expected a token shard or no file");
  EXPECT_EQ(contents(dir_ / "theirs"), before);
  fs::create_directories(dir_ / "shards");
  for (const char* name : {"train.bin", "validation.bin"}) {
    fs::copy_file(dir_ / "train.bin", dir_ / "shards" / name);
    const Files shards = contents(dir_ / "shards");
    expect_mistake("tales --stories 2 --validation-stories 2 --out " + (dir_ / "shards").string(),
                   std::string(name) + ": found a shard without the entropy.json of rowan tales beside it");
    EXPECT_EQ(contents(dir_ / "shards"), shards);
    fs::remove(dir_ / "shards" / name);
  }

  // An export keeps a card that a person wrote.
  write_file_atomically(dir_ / "model/README.md", "my card");
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(rowan(export_into("model")).code, 0);
    EXPECT_EQ(read_file(dir_ / "model/README.md"), "my card");
  }
}

TEST_F(Folders, NoPathAvoidsTheCheckOfAFolder) {
  write_small_run(run("run"), small_llama());
  fs::create_directories(dir_ / "own");
  write_file_atomically(dir_ / "own/config.json", "{}");
  write_file_atomically(dir_ / "text.txt", "text");
  const std::string around = (dir_ / "missing/../own").string(), path_of_text = (dir_ / "text.txt").string();
  for (const std::string& command :
       {export_into("missing/../own"), train("--set run.dir=" + around), "tales --out " + around,
        "tokenize --tokenizer bytes --out " + around + " " + path_of_text})
    expect_mistake(command, around + ": found .. after " + (dir_ / "missing").string() + ", which does not exist");
  EXPECT_FALSE(fs::exists(dir_ / "missing"));

  fs::create_directories(dir_ / "new.part");
  write_file_atomically(dir_ / "new.part/thesis.txt", "precious");
  expect_mistake(export_into("new"), "new.part: found thesis.txt, expected only files of an export");
  EXPECT_EQ(read_file(dir_ / "new.part/thesis.txt"), "precious");
}

TEST_F(Folders, AnExportReplacesOnlyExportsOfRowan) {
  write_small_run(run("run"), small_llama());
  ASSERT_EQ(rowan(export_into("fresh")).code, 0);
  const Files fresh = contents(dir_ / "fresh");
  // Makes a copy whose weights are saved as another program saves them, and as earlier versions of Rowan saved them.
  auto unmarked = [&](const std::string& name) {
    fs::copy(dir_ / "fresh", dir_ / name);
    const SafeTensors from(dir_ / "fresh/model.safetensors");
    SafeTensorsWriter to(dir_ / name / "model.safetensors", {from.tensors().begin(), from.tensors().end()},
                         {{"format", "pt"}});
    for (const StoredTensor& tensor : from.tensors()) to.write(tensor.name, tensor.data);
    to.commit();
  };
  auto refuses = [&](const std::string& name) {
    const Files before = contents(dir_ / name);
    expect_mistake(export_into(name), name + ": found a model that rowan did not export");
    EXPECT_EQ(contents(dir_ / name), before);
  };
  unmarked("older");
  ASSERT_EQ(rowan(export_into("older")).code, 0);
  EXPECT_EQ(contents(dir_ / "older"), fresh);

  unmarked("saved");  // as if transformers had saved a model there; README.md stays
  Json config = Json::parse(read_file(dir_ / "saved/config.json"));
  config["transformers_version"] = "4.50.0";
  write_file_atomically(dir_ / "saved/config.json", config.dump(2));
  refuses("saved");

  unmarked("published");
  write_file_atomically(dir_ / "published/README.md", "a card of others");
  refuses("published");

  fs::create_directories(dir_ / "older_format");
  for (const char* name : {"config.json", "generation_config.json", "pytorch_model.bin"})
    write_file_atomically(dir_ / "older_format" / name, "{}");
  refuses("older_format");
}

TEST_F(Folders, AKilledExportLeavesTheOldOrTheNew) {
  write_small_run(run("older"), small_gpt2());
  write_small_run(run("run"), small_llama());
  ASSERT_EQ(rowan("export " + run("older").string() + " " + (dir_ / "older_export").string()).code, 0);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(rowan(export_into("new")).code, 0);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const Files older = contents(dir_ / "older_export"), whole = contents(dir_ / "new");
  Random random(3, 0);
  int kills = 0;
  for (int attempt = 0; attempt < 30; ++attempt) {
    fs::remove_all(dir_ / "made");
    if (attempt % 2) fs::copy(dir_ / "older_export", dir_ / "made");
    const Files before = contents(dir_ / "made");
    const pid_t child = start(export_into("made"));
    std::this_thread::sleep_for(seconds * random.uniform());
    ::kill(child, SIGKILL);
    kills += code_of(child) == -SIGKILL;
    Files now = contents(dir_ / "made");
    now.erase("lock");
    EXPECT_TRUE(now == before || now == whole) << attempt;
    ASSERT_EQ(rowan(export_into("made")).code, 0) << attempt;
    ASSERT_EQ(contents(dir_ / "made"), whole) << attempt;
  }
  EXPECT_GT(kills, 0) << "every export ended before its kill";
}

}  // namespace
}  // namespace rowan
