# What the scripts beside this file share. To be sourced, not run.

# mkfs.ext4 and its kind are not on the PATH of an ordinary user on Debian.
PATH="$PATH:/usr/sbin:/sbin"

say() { printf '==> %s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints the comment at the top of the script that called, as its help.
print_help() { awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; }

# Puts `swift` on the PATH, or ends with what to do about it.
require_swift() {
    local directory
    if ! command -v swift >/dev/null; then
        for directory in /opt/swift/usr/bin "${HOME:-/nonexistent}/.local/share/swiftly/bin"; do
            if [[ -x $directory/swift ]]; then
                PATH="$directory:$PATH"
                break
            fi
        done
    fi
    command -v swift >/dev/null || die "swift is not on the PATH. Install Swift 6.3 or later for Debian 12 from" \
        "https://www.swift.org/install/linux/, add its usr/bin to the PATH, and run this again."
    swift --version >/dev/null 2>&1 || die "swift is there but does not run: 'swift --version' says: $(swift --version 2>&1 | head -n 1)"
}

# The directory in which a build of the given configuration leaves its programs.
# Usage: binary_directory release [more options of swift build]
binary_directory() { swift build -c "$1" "${@:2}" --show-bin-path; }
