#!/usr/bin/env bash
# Installs the packages that Rowan uses on Debian or Ubuntu, with sudo if not root. Prints nothing if all are installed.
#
#   scripts/setup.sh          what the program needs
#   scripts/setup.sh test     also what the tests need
#   scripts/setup.sh ci       also what .ci/run and scripts/lint.sh --strict use, such as clang and clang-format 14
#   scripts/setup.sh arm64    also what scripts/check_arm64.sh needs
#
# On other systems the script prints a hint, exits with 0 and lets CMake decide. The exit code is 2 if a package is
# missing that CMake or the tests need, and cannot be installed. A missing optional package is no failure.
set -euo pipefail

# The optional packages add speed (ccache, ninja, oneDNN), MPI, sentencepiece, downloads (data/) and Python's scripts.
needed=(g++ cmake make pkg-config nlohmann-json3-dev libpcre2-dev libcli11-dev libfmt-dev libzstd-dev zlib1g-dev)
optional=(ninja-build ccache git python3 curl ca-certificates libdnnl-dev libopenmpi-dev openmpi-bin
  libsentencepiece-dev)
case "$#${1:-}" in
  1-h | 1--help)
    while IFS= read -r line && [ "$line" != "set -euo pipefail" ]; do
      [[ $line == "#!"* ]] || { line=${line#"#"}; echo "${line# }"; }
    done <"$0"
    exit 0 ;;
  0) ;;
  1test) needed+=(libgtest-dev python3) ;;
  1arm64) needed+=(libgtest-dev g++-aarch64-linux-gnu qemu-user ninja-build) ;;
  1ci) needed+=(libgtest-dev python3 clang libomp-dev) optional+=(libclang-rt-dev clang-format-14 clang-tidy) ;;
  *) echo "setup: found '$*', expected nothing, test, ci or arm64; --help explains them" >&2; exit 2 ;;
esac
say() { echo "setup: $*" >&2; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  say "found no apt-get; if CMake misses something, install it by hand: a C++20 compiler, CMake, pkg-config, fmt," \
    "nlohmann_json, CLI11, zlib, zstd, PCRE2${1:+, GoogleTest}; optional: ninja, ccache, oneDNN, MPI, sentencepiece, curl"
  exit 0
fi

# A tool may have been installed without dpkg.
is_there() {
  dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' || command -v "${1%-build}" >/dev/null
}
missing_needed=() missing_optional=()
for package in "${needed[@]}"; do is_there "$package" || missing_needed+=("$package"); done
for package in "${optional[@]}"; do
  [[ " ${needed[*]} " == *" $package "* ]] || is_there "$package" || missing_optional+=("$package")
done
missing=("${missing_needed[@]}" "${missing_optional[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0

# Ends the script, because packages cannot be installed.
give_up() {  # WHY
  if [ ${#missing_needed[@]} -gt 0 ]; then
    say "$1; as root: apt-get install ${missing[*]}; if the libraries are elsewhere, build without this script:" \
      "cmake -B build && cmake --build build"
    exit 2
  fi
  say "$1; going on without the optional ${missing_optional[*]}"
  exit 0
}
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || give_up "not root, and found no sudo"
  sudo=(sudo)
  # Nobody is asked for a password because of optional packages.
  [ ${#missing_needed[@]} -gt 0 ] || sudo -n true 2>/dev/null || give_up "not root"
fi
say "installing ${missing[*]}"
"${sudo[@]}" apt-get update -qq || give_up "apt-get update failed"
install() {
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
if install "${missing[@]}"; then exit; fi
# A distribution may lack an optional package.
if [ ${#missing_needed[@]} -gt 0 ]; then
  install "${missing_needed[@]}" || give_up "apt-get install failed"
fi
left_out=()
for package in "${missing_optional[@]}"; do install "$package" || left_out+=("$package"); done
[ ${#left_out[@]} -eq 0 ] || say "going on without the optional ${left_out[*]}"
