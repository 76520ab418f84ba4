#!/usr/bin/env bash
# Installs the packages that Rowan needs on Debian or Ubuntu, with sudo if not root. Prints nothing if all are
# installed. `setup.sh test` also installs what the tests need, `setup.sh ci` what .ci/run needs, and `setup.sh arm64`
# what scripts/check_arm64.sh needs.
set -euo pipefail

packages=(g++ cmake make ninja-build ccache pkg-config git python3
  libdnnl-dev libopenmpi-dev openmpi-bin nlohmann-json3-dev libsentencepiece-dev libpcre2-dev libcli11-dev libfmt-dev
  libzstd-dev zlib1g-dev)
case "${1:-}" in
  test) packages+=(libgtest-dev) ;;
  arm64) packages+=(libgtest-dev g++-aarch64-linux-gnu qemu-user) ;;
  ci) packages+=(libgtest-dev clang libomp-dev clang-tidy clang-format-14) ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: missing ${missing[*]}; this script knows apt-get only: install them by hand" >&2
  exit 2
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: no sudo; as root: apt-get install ${missing[*]}" >&2; exit 2; }
  sudo=sudo
fi
echo "setup: installing ${missing[*]}" >&2
install() {
  $sudo apt-get update -qq &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
install || { echo "setup: apt-get failed; as root: apt-get install ${missing[*]}" >&2; exit 2; }
