// How a process ended, as waitpid() and std::system() report it.
#pragma once

#include <sys/wait.h>

namespace rowan {

// The exit code, or minus the signal that ended the process. WEXITSTATUS alone is 0 after a signal.
inline int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

}  // namespace rowan
