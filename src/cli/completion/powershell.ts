import { kindWord } from "./tables.ts";
import { type CompletedWords, nextWords, optionWords, valueKind } from "./words.ts";

/**
 * The script for PowerShell 5.1 (Windows' own) and newer. Its tables are lists of 'WORD|...' and not hash tables, which do not tell -r from -R
 * there. Pure.
 */
export function powershellScript(words: CompletedWords): string {
  const list = (items: readonly string[]): string => `@(${items.map(literal).join(", ")})`;
  const next = ["", ...words.groups].map(
    (group) =>
      `    ${literal(group)} = ${list(nextWords(words, group).map(([word, help]) => `${word}|${help}`))}`,
  );
  const commands = words.commands.map(({ name, options, operands, maxOperands }) => {
    const items = options.flatMap((option) => {
      const kind = option.value === undefined ? "" : kindWord(valueKind(option));
      return optionWords(option).map((word) => `${word}|${kind}|${option.help}`);
    });
    return `    ${literal(name)} = @{ operand = ${literal(kindWord(operands))}; most = ${maxOperands}; options = ${list(items)} }`;
  });
  return `# PowerShell completion of smolvm. Once: smolvm completion powershell | Out-String | Invoke-Expression; for good: put that line into the file $PROFILE.

Register-ArgumentCompleter -Native -CommandName smolvm -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)

  # What may follow a group of commands: WORD|HELP
  $next = @{
${next.join("\n")}
  }
  # OPTION|KIND OF ITS VALUE|HELP; no kind: it takes no value
  $commands = @{
${commands.join("\n")}
  }

  function Show([string] $prefix, [string] $text, [string] $help) {
    if ($text.StartsWith($prefix, [StringComparison]::Ordinal)) {
      if (-not $help) { $help = $text }
      [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $help)
    }
  }

  function Show-Kind([string] $kind, [string] $prefix, [string] $before) {
    $suffix = ''
    $found = @()
    switch -CaseSensitive ($kind.Split(' ')[0]) {
      'choices' { $found = $kind.Split(' ') | Select-Object -Skip 1 }
      'sandboxes' { $found = smolvm ls --quiet 2>$null }
      'images' { $found = smolvm image ls --quiet 2>$null }
      'snapshots' { $found = smolvm snapshot ls --quiet 2>$null }
      'pools' { $found = smolvm pool ls --quiet 2>$null }
      'kernels' { $found = smolvm image kernel ls --quiet 2>$null }
      'copy-paths' { $found = smolvm ls --quiet 2>$null; $suffix = ':' }
    }
    foreach ($one in $found) { Show ($before + $prefix) ($before + $one + $suffix) $one }
    if ($kind -ceq 'files' -or ($kind -ceq 'copy-paths' -and $prefix -notmatch '^[^:]{2,}:')) {
      [System.Management.Automation.CompletionCompleters]::CompleteFilename($prefix)
    }
  }

  function Find-Kind([string] $command, [string] $option) {
    if (-not $commands.ContainsKey($command)) { return '' }
    foreach ($item in $commands[$command].options) {
      $parts = $item.Split([char[]]'|', 3)
      if ($parts[0] -ceq $option) { return $parts[1] }
    }
    return ''
  }

  $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
    Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  $current = [string] $wordToComplete
  $command = ''
  $found = $false
  $operands = 0
  $dashes = $false
  $value = ''
  for ($i = 0; $i -lt $words.Count; $i++) {
    $word = $words[$i]
    $value = ''
    if ($found -and $operands -gt $commands[$command].most) { return }
    if (-not $dashes -and $word -ceq '--') {
      $dashes = $true
    } elseif (-not $dashes -and $word.StartsWith('-')) {
      if (-not $word.Contains('=')) {
        $kind = Find-Kind $command $word
        if ($kind) {
          $i++
          if ($i -eq $words.Count) { $value = $kind }
        }
      }
    } elseif (-not $found) {
      $command = ($command + ' ' + $word).Trim()
      if ($commands.ContainsKey($command)) { $found = $true }
      elseif (-not $next.ContainsKey($command)) { return }
    } else {
      $operands++
    }
  }
  if ($value) {
    Show-Kind $value $current ''
  } elseif (-not $dashes -and $current -match '^(--[^=]+=)(.*)$') {
    $before = $Matches[1]
    $rest = $Matches[2]
    $kind = Find-Kind $command $before.TrimEnd('=')
    if ($kind) { Show-Kind $kind $rest $before }
  } elseif (-not $found) {
    foreach ($item in $next[$command]) {
      $parts = $item.Split([char[]]'|', 2)
      Show $current $parts[0] $parts[1]
    }
  } elseif ($operands -gt $commands[$command].most) {
    return
  } elseif (-not $dashes -and $current.StartsWith('-')) {
    foreach ($item in $commands[$command].options) {
      $parts = $item.Split([char[]]'|', 3)
      Show $current $parts[0] $parts[2]
    }
  } elseif ($operands -lt $commands[$command].most) {
    Show-Kind $commands[$command].operand $current ''
  }
}
`;
}

/** A string of PowerShell's that says it as it is: typographic quotes end it as well (about_Quoting_Rules). Pure. */
function literal(text: string): string {
  return `'${text.replaceAll(/['\u2018-\u201b]/g, "$&$&")}'`;
}
