# shellcheck shell=bash
# Shared by scripts/system-setup.sh and its parts and scripts/system-setup-macos.sh: what is printed, and the journal that uninstalling goes by.
# Whoever sources this has set mode (check, dry-run or apply) and state_dir (where changes are noted).
: "${mode:?}" "${state_dir:?}"

journal=$state_dir/changes

# Each line is a status of nine columns and a sentence; `smolvm setup --json` reads them.
line() { printf '%-8s %s\n' "$1" "$2"; }
good() { line ok "$*"; }
remark() { line note "$*"; }
# die WHAT REMEDY...: each remedy is a line of its own, to be typed as it is
die() {
  line error "$1" >&2
  shift
  for remedy in "$@"; do line '' "$remedy" >&2; done
  exit 1
}

# shellcheck disable=SC2034 # read by those who source this
missing=0
# usage_error WHAT: for a command line that is not understood
usage_error() {
  line error "$1" >&2
  line '' "$0 --help" >&2
  exit 2
}

# todo WHAT: says what is to be changed; true if it is to be changed now
todo() {
  case $mode in
    check) line missing "$*" && missing=$((missing + 1)) && return 1 ;;
    dry-run) line would "$*" && return 1 ;;
    *) line change "$*" ;;
  esac
}

have() { command -v "$1" >/dev/null 2>&1; }

# The system's own programs, wherever sudo's or cron's PATH leads.
PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH

host_arch() {
  case $(uname -m) in
    arm64 | aarch64) echo aarch64 ;;
    *) uname -m ;;
  esac
}

# record WORD...: notes how to undo a change, before it is made: a run that dies half way can be undone, too. What is
# noted already stays as it was first: that is what there was before us.
record() {
  local entry
  entry=$(printf '%s\t' "$@")
  mkdir -p "$state_dir"
  chmod 700 "$state_dir"
  grep -qxF -- "${entry%$'\t'}" "$journal" 2>/dev/null || printf '%s\n' "${entry%$'\t'}" >>"$journal"
}

# recorded WORD...: true if a change whose entry begins with these words is noted
recorded() {
  local entry
  entry=$(printf '%s\t' "$@")
  [ -e "$journal" ] && awk -v start="$entry" 'index($0 "\t", start) == 1 { found = 1 } END { exit !found }' "$journal"
}

# make_dir PATH: with its parents, each noted if it was not there
make_dir() {
  [ -d "$1" ] && return
  make_dir "$(dirname "$1")"
  record directory "$1"
  mkdir "$1"
}

# keep_old PATH: notes that PATH is new, or keeps what was there before us
keep_old() {
  if recorded file "$1" || recorded replaced "$1"; then return; fi
  if [ -e "$1" ] || [ -L "$1" ]; then
    mkdir -p "$state_dir/replaced$(dirname "$1")"
    cp -a "$1" "$state_dir/replaced$1"
    record replaced "$1"
  else
    record file "$1"
  fi
}

# place PATH MODE WHY: writes stdin there, unless it holds that already
place() {
  local path=$1 permissions=$2 content
  content=$(cat && echo x) # a command's result loses its last newlines
  content=${content%x}
  if [ -f "$path" ] && [ "$(cat "$path" && echo x)" = "${content}x" ]; then
    good "$path ($3)"
  elif todo "write $path ($3)"; then
    make_dir "$(dirname "$path")"
    keep_old "$path"
    printf '%s' "$content" >"$path.smolvm-new"
    chmod "$permissions" "$path.smolvm-new"
    mv -f "$path.smolvm-new" "$path"
  fi
}

# quietly WHAT COMMAND...: its output is only shown if it fails
quietly() {
  local what=$1 output
  shift
  output=$("$@" 2>&1 </dev/null) || die "$what failed: $(tail -n 5 <<<"$output")" "$*"
}
