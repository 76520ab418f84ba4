#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file_identity.h"
#include "base/files.h"
#include "base/mapped_guard.h"
#include "exit_code.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("rowan_files_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  fs::path dir_;
};

TEST_F(Files, AtomicFileAppearsOnlyWhenCommitted) {
  fs::path path = dir_ / "a.bin";
  {
    AtomicFile file(path);
    file.write("lost");
    EXPECT_FALSE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path.string() + ".part"));
  AtomicFile file(path);
  file.write("....");
  file.write("tail");
  file.write_at(0, "head", 4);
  EXPECT_EQ(file.size(), 8u);
  file.commit();
  EXPECT_EQ(read_file(path), "headtail");
  EXPECT_FALSE(fs::exists(path.string() + ".part"));
}

// Some file systems, such as NFS, cannot exchange two names atomically.
TEST_F(Files, AFolderIsReplacedWhereNamesCannotBeExchanged) {
  const pid_t child = ::fork();
  if (child == 0) {
    // From here on, the system call renameat2 with RENAME_EXCHANGE (2) fails with EINVAL.
    sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[4])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(refuse), refuse};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) ::_exit(77);
    const fs::path from = dir_ / "step.part", to = dir_ / "step";
    fs::create_directories(from);
    fs::create_directories(to);
    write_file_atomically(from / "a", "new");
    write_file_atomically(to / "a", "old");
    rename_durably(from, to);
    ::_exit(read_file(to / "a") == "new" && std::distance(fs::directory_iterator(dir_), fs::directory_iterator()) == 1
                ? 7
                : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (exit_code(status) == 77) GTEST_SKIP() << "system calls cannot be filtered here";
  EXPECT_EQ(exit_code(status), 7);
}

// Whether a read of a mapped file that has lost its pages gives zeros, and check_mapped_files() then says that the file
// `what`. Before the check, the file gets `size` bytes. Runs in a separate process, because a process never resets its
// flag for such a file.
bool lost_pages_are_told(const fs::path& path, uint64_t size, const std::string& what) {
  write_file_atomically(path, std::string(100'000, 'x'));
  const pid_t child = ::fork();
  if (child == 0) {
    MappedFile other(path), file = std::move(other);
    check_mapped_files();
    fs::resize_file(path, 10);
    const bool zero = file.text()[50'000] == 0 && file.text()[99'999] == 0 && file.text()[9] == 'x';
    size ? fs::resize_file(path, size) : static_cast<void>(fs::remove(path));
    try {
      check_mapped_files();
    } catch (const Error& error) {
      ::_exit(zero && error.what() == path.string() + ": " + what ? 7 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return exit_code(status) == 7;
}

TEST_F(Files, AMappedFileThatShrinksReadsAsZerosAndIsNamed) {
  const fs::path path = dir_ / "a.bin";
  EXPECT_TRUE(lost_pages_are_told(path, 10, "became shorter while it was read"));
  // The pages of a file that still has its length, or whose length is unknown, are lost to an error of the disk.
  EXPECT_TRUE(lost_pages_are_told(path, 100'000, "cannot be read any more (I/O error)"));
  EXPECT_TRUE(lost_pages_are_told(path, 0, "cannot be read any more (No such file or directory)"));
  write_file_atomically(path, "x");
  // A SIGBUS that no mapped file has caused ends the process.
  const pid_t foreign = ::fork();
  if (foreign == 0) {
    MappedFile file(path);
    ::raise(SIGBUS);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(foreign, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
}

TEST_F(Files, UncommittedWriteKeepsTheOldFile) {
  fs::path path = dir_ / "a.bin";
  write_file_atomically(path, "old");
  { AtomicFile(path).write("new"); }
  EXPECT_EQ(read_file(path), "old");
}

TEST_F(Files, APartCanBeContinued) {
  fs::path path = dir_ / "a.bin";
  {
    AtomicFile file(path, 0);
    file.write("abcdef");
    file.sync();
  }
  EXPECT_EQ(read_file(part_of(path)), "abcdef");
  EXPECT_THROW(AtomicFile(path, 7), Error);
  AtomicFile file(path, 4);
  file.write("XY");
  EXPECT_EQ(file.size(), 6u);
  file.commit();
  EXPECT_EQ(read_file(path), "abcdXY");
}

TEST_F(Files, FailuresNameTheFile) {
  auto message = [](auto action) {
    try {
      action();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("nothing thrown");
  };
  EXPECT_EQ(message([] { read_file("/no/such"); }), "cannot open /no/such: No such file or directory");
  EXPECT_EQ(message([] { MappedFile("/no/such"); }), "cannot open /no/such: No such file or directory");
  EXPECT_EQ(message([] { expand_glob("/no/such*"); }), "/no/such*: no such file");
  EXPECT_EQ(message([] { expand_glob(""); }), "found an empty name, expected a file or pattern");
  fs::create_symlink("nowhere", dir_ / "link");
  EXPECT_EQ(message([&] { file_identity(dir_ / "link"); }),
            (dir_ / "link").string() + ": found a symbolic link to nowhere, which does not exist");
  EXPECT_EQ(message([] { file_identity("/no/such"); }), "cannot read /no/such: No such file or directory");
  EXPECT_EQ(message([] { file_identity("/dev/null/x"); }), "cannot read /dev/null/x: Not a directory");
  EXPECT_EQ(message([&] { make_directories(dir_ / "link"); }),
            "cannot create the directory " + (dir_ / "link").string() +
                ": found a symbolic link to nowhere, which does not exist");
  try {
    ADD_FAILURE() << fs::is_directory(std::string(300, 'x'));
  } catch (const std::system_error& error) {
    EXPECT_EQ(message_of(error), std::string(300, 'x') + ": File name too long");
  }
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep += "*/";
  EXPECT_EQ(message([&] { expand_glob(deep); }),
            deep.substr(0, 60) + "...: found a pattern of 6000 bytes, expected at most 4095");
  const std::string sparse = (dir_ / "sparse").string();
  write_file_atomically(sparse, "");
  std::filesystem::resize_file(sparse, uint64_t{1} << 40);
  EXPECT_EQ(message([&] { read_file(sparse); }),
            "cannot read " + sparse + ": found 1099511627776 bytes, expected at most 4294967296");
  EXPECT_EQ(message([] { fail("a\nb\x1b[2J\x7f\u00e9"); }), "a?b?[2J?\u00e9");
  const std::string folder = dir_.string();
  write_file_atomically(dir_ / "get.sh", "");
  EXPECT_EQ(message([&] { expand_glob(folder + "/*.bin"); }),
            folder + "/*.bin: no such file; " + folder + "/get.sh makes it");
  EXPECT_NE(message([&] { read_file(dir_); }).find("Is a directory"), std::string::npos);
  EXPECT_NE(message([] { write_file_atomically("/no/such", "x"); }).find("/no/such.part"), std::string::npos);
}

TEST_F(Files, FullDiskIsAnError) {
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit none = {0, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &none);
  std::string message;
  try {
    write_file_atomically(dir_ / "full", "x");
  } catch (const Error& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, "cannot write " + (dir_ / "full").string() + ": File too large");
  EXPECT_FALSE(fs::exists(dir_ / "full.part"));
}

TEST_F(Files, MappingShowsTheContent) {
  write_file_atomically(dir_ / "a", "content");
  write_file_atomically(dir_ / "empty", "");
  MappedFile file(dir_ / "a");
  EXPECT_EQ(file.text(), "content");
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.text(), "content");
  EXPECT_EQ(MappedFile(dir_ / "empty").size(), 0u);
}

// Reading a pipe or a device may never end. Even opening a pipe blocks until a process opens it for writing.
TEST_F(Files, PipesDevicesAndFoldersAreNoFiles) {
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink(dir_ / "pipe", dir_ / "link");
  for (const fs::path& path : {dir_ / "pipe", dir_ / "link", fs::path("/dev/zero"), dir_}) {
    const std::string what = path == dir_          ? "Is a directory"
                             : path == "/dev/zero" ? "found a device, expected a file"
                                                   : "found a pipe, expected a file";
    const std::string expected = "cannot read " + path.string() + ": " + what;
    for (const auto& open :
         {+[](const fs::path& p) { read_file(p); }, +[](const fs::path& p) { MappedFile file(p); }}) {
      try {
        open(path);
        FAIL() << path;
      } catch (const Error& error) {
        EXPECT_EQ(error.what(), expected);
      }
    }
  }
  EXPECT_FALSE(read_file("/proc/self/status").empty());
}

TEST_F(Files, ALinkInPlaceOfAPartIsNotFollowed) {
  const fs::path path = dir_ / "a.bin", victim = dir_ / "victim";
  write_file_atomically(victim, "precious");
  fs::create_symlink(victim, part_of(path));
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_FALSE(fs::is_symlink(path));
  fs::create_symlink(victim, part_of(path));
  EXPECT_THROW(AtomicFile(path, 0), Error);
  EXPECT_EQ(read_file(victim), "precious");
}

TEST_F(Files, AWriteThroughALinkReplacesTheFileThatItLeadsTo) {
  fs::create_directories(dir_ / "sub");
  write_file_atomically(dir_ / "sub/a.bin", "old");
  fs::create_symlink("sub/a.bin", dir_ / "link");
  fs::create_symlink("link", dir_ / "second");
  fs::create_symlink(dir_ / "sub/missing", dir_ / "dangling");
  write_file_atomically(dir_ / "second", "new");
  write_file_atomically(dir_ / "dangling", "made");
  for (const char* link : {"link", "second", "dangling"}) EXPECT_TRUE(fs::is_symlink(dir_ / link)) << link;
  EXPECT_EQ(read_file(dir_ / "sub/a.bin"), "new");
  EXPECT_EQ(read_file(dir_ / "sub/missing"), "made");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "sub"), fs::directory_iterator()), 2) << "no .part is left";
}

// An AtomicFile without commit() replaces nothing, even if it is not refused.
TEST_F(Files, ALinkOfTheSystemOrToNoFileIsRefused) {
  fs::create_symlink("/proc/self/fd/1", dir_ / "stdout");
  fs::create_symlink("/dev/no_such_device", dir_ / "device");
  fs::create_symlink("loop", dir_ / "loop");
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", dir_ / "link");
  const std::pair<fs::path, const char*> refused[] = {
      {dir_ / "stdout", "found a symbolic link in or to /proc/"},
      {"/proc/self/fd/1", "found a symbolic link in or to /proc/"},
      {dir_ / "device", "found a symbolic link in or to /dev/, expected a file outside /dev and /proc"},
      {dir_ / "loop", "Too many levels of symbolic links"},
      {dir_ / "link", "found a pipe, expected a file"}};
  for (const auto& [path, why] : refused) {
    try {
      AtomicFile file(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
  }
}

TEST_F(Files, TooManyMappingsAreCountedInTheMessage) {
#ifdef ROWAN_SANITIZED
  GTEST_SKIP() << "AddressSanitizer needs mappings of its own";
#endif
  write_file_atomically(dir_ / "a", "content");
  std::vector<MappedFile> files;
  try {
    for (int i = 0; i < 200'000; ++i) files.emplace_back(dir_ / "a");
    GTEST_SKIP() << "no limit here";
  } catch (const Error& error) {
    files.resize(files.size() / 2);
    EXPECT_NE(std::string(error.what()).find("(vm.max_map_count); use fewer, larger files"), std::string::npos)
        << error.what();
  }
}

TEST_F(Files, GlobIsSortedByBytes) {
  for (const char* name : {"b.txt", "B.txt", "a.txt", "c.json"}) write_file_atomically(dir_ / name, "");
  auto found = expand_glob((dir_ / "*.txt").string());
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].filename(), "B.txt");
  EXPECT_EQ(found[1].filename(), "a.txt");
  EXPECT_EQ(found[2].filename(), "b.txt");
}

// glob() itself leaves out what it cannot read, and data would silently lack shards.
TEST_F(Files, AFolderThatCannotBeReadEndsAGlob) {
  for (const char* name : {"open", "locked", "sealed"}) {
    fs::create_directories(dir_ / name);
    write_file_atomically(dir_ / name / "a.bin", "");
  }
  fs::create_symlink("loop", dir_ / "loop");
  fs::create_symlink("nowhere", dir_ / "dangling");
  write_file_atomically(dir_ / "file", "");
  EXPECT_EQ(expand_glob((dir_ / "*/a*.bin").string()).size(), 3u) << "links to nothing and files hold nothing";
  for (const char* name : {"", "open"}) fs::permissions(dir_ / name, fs::perms{0755});
  for (const char* name : {"locked", "sealed"}) fs::permissions(dir_ / name, fs::perms::none);
  const pid_t child = ::fork();
  if (child == 0) {
    fs::current_path(dir_);  // the other user may have no access to the folders above
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(77);  // root reads every folder
    auto refused = [](const std::string& pattern, const std::string& path) {
      try {
        expand_glob(pattern);
      } catch (const Unreadable& error) {
        return error.what() == pattern + ": cannot read " + path + ": Permission denied";
      }
      return false;
    };
    const bool right = refused("*/a*.bin", "locked") && refused("*/a.bin", "locked/a.bin") &&
                       refused("sealed/*", "sealed") && refused("sealed/a.bin", "sealed/a.bin");
    ::_exit(right && expand_glob("o*/a*.bin").size() == 1 ? 7 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  for (const char* name : {"locked", "sealed"}) fs::permissions(dir_ / name, fs::perms::owner_all);
  if (exit_code(status) == 77) GTEST_SKIP() << "the user cannot be changed here";
  EXPECT_EQ(exit_code(status), 7);
}

// The expected hashes are from the reference implementation (python-xxhash). Each input is the sequence of bytes 3, 10,
// 17, ..., of the given size.
TEST(Hash64, MatchesTheReferenceInPiecesOfAnySize) {
  const std::pair<size_t, uint64_t> expected[] = {
      {0, 0xef46db3751d8e999ull},  {1, 0x1f25c8d0bc1f4bb6ull},   {3, 0x31d2363f52e564c9ull},
      {4, 0x9bb64b7d66ee9fdaull},  {8, 0xdab99d95c6f90092ull},   {31, 0xa2aa5f33cc4a6119ull},
      {32, 0x23c3c17ef790fd97ull}, {33, 0x50a7cfc7ba588784ull},  {63, 0x5e3e54b431c7493cull},
      {64, 0x0eb64b3ef6eeb01full}, {100, 0xa61f8d4c170fe531ull}, {1000, 0x5f235fa033f1a3fbull}};
  for (auto [size, value] : expected) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + 3);
    EXPECT_EQ(hash64(bytes), value) << size;
    for (size_t piece : {1, 5, 31, 33}) {
      Hash64 hash;
      for (size_t at = 0; at < size; at += piece) hash.add(std::string_view(bytes).substr(at, piece));
      EXPECT_EQ(hash.value(), value) << size << " in pieces of " << piece;
    }
  }
}

}  // namespace
}  // namespace rowan
