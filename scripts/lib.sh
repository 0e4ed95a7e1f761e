# shellcheck shell=sh
# What the scripts share. Sourced from the top of the repository; prints to stderr only.

# shellcheck disable=SC2034  # used by those who source this
target=${CARGO_TARGET_DIR:-target}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root; sudo may ask for a password only where somebody sits.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif ! have sudo; then
    return 1
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# Installs packages where there is apt and a way to be root. Takes the lists afresh once.
apt_install() {
  have apt-get || return 1
  as_root true 2>/dev/null || return 1
  say "installing by apt: $*"
  [ -n "${apt_updated:-}" ] || as_root apt-get -qq update >&2 || return 1
  apt_updated=yes
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# Says in one line each what is missing for a build, and stops if anything is.
need_build_tools() {
  missing=
  if ! have cargo; then
    say "missing: Rust (cargo); see https://rustup.rs"
    missing=yes
  elif ! rust=$(rustc --version 2>&1); then
    say "missing: a working Rust: $rust"
    missing=yes
  elif ! rust_is_new_enough "$rust"; then
    say "too old: $rust; this needs 1.95 (rustup update)"
    missing=yes
  fi
  if ! have cc && ! have gcc && ! have clang; then
    say "missing: a C compiler (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install)"
    missing=yes
  fi
  [ -z "$missing" ] || exit 1
}

# $1 is like "rustc 1.95.0 (...)".
rust_is_new_enough() {
  version=${1#rustc }
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  [ "$major" -gt 1 ] || [ "$minor" -ge 95 ]
}
