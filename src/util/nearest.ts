/** Edits between two short strings: letters put in, left out, replaced, or two neighbours swapped. */
function distance(a: string, b: string): number {
  let last: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? last[j - 2]! + 1 : substitution;
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, substitution, swap));
    }
    last = row;
    row = next;
  }
  return row[b.length]!;
}

/**
 * The known word that `word` was most likely meant to be, or undefined if none is near: one edit for every three
 * letters, so that a short word which means something else (`fork`, `port`) is not taken for a slip. Case is ignored.
 */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const d = distance(word.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}
