import { tables } from "./tables.ts";
import { type CompletedWords, quoted } from "./words.ts";

/**
 * The script for bash 3.2 and newer (macOS has no other); it needs nothing but bash and smolvm. Pure.
 * The line is split by the script itself: bash's own words are also split at `=` and `:`, but what it replaces is only the
 * last of those.
 */
export function bashScript(words: CompletedWords): string {
  const list = (items: readonly (readonly [string, string])[]): string =>
    items.map(([word]) => quoted(word)).join(" ");
  return `# bash completion of smolvm. Once: eval "$(smolvm completion bash)"; for good: put that line into ~/.bashrc.

${tables(words, list)}
_smolvm_reply() {
  local prefix=$1 word
  shift
  for word in "$@"; do
    if [[ $word == "$prefix"* ]]; then COMPREPLY+=("$word"); fi
  done
}

_smolvm_lines() {
  local prefix=$1 suffix=$2 line
  while IFS= read -r line; do
    _smolvm_reply "$prefix" "$line$suffix"
  done
}

_smolvm_complete() {
  local prefix=$2
  case "$1" in
    choices\\ *)
      local -a choices
      read -ra choices <<<"\${1#choices }"
      _smolvm_reply "$prefix" "\${choices[@]}"
      ;;
    sandboxes) _smolvm_lines "$prefix" '' < <(smolvm ls --quiet 2>/dev/null) ;;
    images) _smolvm_lines "$prefix" '' < <(smolvm image ls --quiet 2>/dev/null) ;;
    snapshots) _smolvm_lines "$prefix" '' < <(smolvm snapshot ls --quiet 2>/dev/null) ;;
    pools) _smolvm_lines "$prefix" '' < <(smolvm pool ls --quiet 2>/dev/null) ;;
    kernels) _smolvm_lines "$prefix" '' < <(smolvm image kernel ls --quiet 2>/dev/null) ;;
    files)
      compopt -o filenames 2>/dev/null
      _smolvm_lines '' '' < <(compgen -f -- "$prefix")
      ;;
    copy-paths)
      [[ $prefix == *:* ]] && return
      compopt -o nospace 2>/dev/null
      _smolvm_lines "$prefix" : < <(smolvm ls --quiet 2>/dev/null)
      if ((\${#COMPREPLY[@]} == 0)); then compopt -o filenames 2>/dev/null; fi
      _smolvm_lines '' '' < <(compgen -f -- "$prefix")
      ;;
  esac
}

_smolvm() {
  local line=\${COMP_LINE:0:COMP_POINT} current='' command='' kind='' operand='' most=0 found='' word value=''
  local -a words options next
  local -i i operands=0 dashes=0
  COMPREPLY=()
  read -ra words <<<"$line"
  if [[ $line != *[[:space:]] ]]; then
    current=\${words[\${#words[@]} - 1]}
    unset "words[\${#words[@]} - 1]"
  fi
  _smolvm_command ''
  for ((i = 1; i < \${#words[@]}; i++)); do
    word=\${words[i]} value=
    if ((operands > most)); then
      return
    elif ((!dashes)) && [[ $word == -- ]]; then
      dashes=1
    elif ((!dashes)) && [[ $word == -* ]]; then
      if [[ $word != *=* ]] && _smolvm_value "$command" "$word"; then
        i+=1
        if ((i == \${#words[@]})); then value=$kind; fi
      fi
    elif [[ -z $found ]]; then
      command="\${command:+$command }$word"
      _smolvm_command "$command"
      if ((\${#next[@]} == 0)); then found=yes; fi
    else
      operands+=1
    fi
  done
  if [[ -n $value ]]; then
    _smolvm_complete "$value" "$current"
  elif ((!dashes)) && [[ $current == --*=* ]]; then
    if _smolvm_value "$command" "\${current%%=*}"; then _smolvm_complete "$kind" "\${current#*=}"; fi
  elif [[ -z $found ]]; then
    _smolvm_reply "$current" "\${next[@]}"
  elif ((operands > most)); then
    return
  elif ((!dashes)) && [[ $current == -* ]]; then
    _smolvm_reply "$current" "\${options[@]}"
  elif ((operands < most)); then
    _smolvm_complete "$operand" "$current"
  fi
}

complete -F _smolvm smolvm
`;
}
