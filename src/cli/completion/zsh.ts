import { tables } from "./tables.ts";
import { type CompletedWords, quoted } from "./words.ts";

/** The script for zsh: to be sourced, or put into `$fpath` as `_smolvm`. Words come with their descriptions. Pure. */
export function zshScript(words: CompletedWords): string {
  const list = (items: readonly (readonly [string, string])[]): string =>
    items.map(([word, help]) => quoted(`${word.replaceAll(":", "\\:")}:${help}`)).join(" ");
  return `#compdef smolvm
# zsh completion of smolvm. Once: source <(smolvm completion zsh); for good: put that line into ~/.zshrc, behind compinit.

${tables(words, list)}
_smolvm_complete() {
  case "$1" in
    choices\\ *) compadd -- \${=1#choices } ;;
    sandboxes) compadd -- \${(f)"$(smolvm ls --quiet 2>/dev/null)"} ;;
    images) compadd -- \${(f)"$(smolvm image ls --quiet 2>/dev/null)"} ;;
    snapshots) compadd -- \${(f)"$(smolvm snapshot ls --quiet 2>/dev/null)"} ;;
    pools) compadd -- \${(f)"$(smolvm pool ls --quiet 2>/dev/null)"} ;;
    kernels) compadd -- \${(f)"$(smolvm image kernel ls --quiet 2>/dev/null)"} ;;
    files) _files ;;
    copy-paths)
      [[ $PREFIX == *:* ]] && return
      compadd -S : -- \${(f)"$(smolvm ls --quiet 2>/dev/null)"}
      _files
      ;;
  esac
}

_smolvm() {
  local command='' kind='' operand='' most=0 found='' word='' value=''
  local -a options next
  integer i operands=0 dashes=0
  _smolvm_command ''
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]} value=
    if ((operands > most)); then
      return
    elif ((!dashes)) && [[ $word == -- ]]; then
      dashes=1
    elif ((!dashes)) && [[ $word == -* ]]; then
      if [[ $word != *=* ]] && _smolvm_value "$command" "$word"; then
        i+=1
        if ((i == CURRENT)); then value=$kind; fi
      fi
    elif [[ -z $found ]]; then
      command="\${command:+$command }$word"
      _smolvm_command "$command"
      if ((\${#next} == 0)); then found=yes; fi
    else
      operands+=1
    fi
  done
  if [[ -n $value ]]; then
    _smolvm_complete "$value"
  elif ((!dashes)) && [[ $PREFIX == --*=* ]]; then
    if _smolvm_value "$command" "\${PREFIX%%=*}"; then
      compset -P '*='
      _smolvm_complete "$kind"
    fi
  elif [[ -z $found ]]; then
    _describe command next
  elif ((operands > most)); then
    return
  elif ((!dashes)) && [[ $PREFIX == -* ]]; then
    _describe -o option options
  elif ((operands < most)); then
    _smolvm_complete "$operand"
  fi
}

if [[ \${funcstack[1]} == _smolvm ]]; then _smolvm "$@"; else compdef _smolvm smolvm; fi
`;
}
