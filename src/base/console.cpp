#include "base/console.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace rowan {

void show(std::FILE* out, std::string_view text) noexcept {
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
  std::clearerr(out);
}

void check_results_written() {
  errno = EIO;  // where an earlier write has failed
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    fail("cannot write to standard output: {}", std::strerror(errno));
}

void hold_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)!::open("/dev/null", O_RDONLY);  // the lowest that is free
}

}  // namespace rowan
