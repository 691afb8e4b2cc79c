/** When two ranked lists are the same list, though computed by programs that add in another order. */

/**
 * Say how a list differs from the expected one beyond ties, or null: as `odllm_export.list_difference`.
 *
 * @param {{items: string[], scores: ArrayLike<number>}} found
 * @param {{items: string[], scores: ArrayLike<number>}} expected
 * @param {number} tolerance within which two scores count as equal.
 * @returns {?string}
 */
export function listDifference(found, expected, tolerance) {
  if (found.items.length !== expected.items.length) {
    return `${found.items.length} items instead of ${expected.items.length}`;
  }
  const [ours, theirs] = [scoreOf(found), scoreOf(expected)];
  const apart = (one, other) => !(Math.abs(one - other) <= tolerance);
  for (const [item, score] of ours) {
    if (theirs.has(item) && apart(score, theirs.get(item))) return `item ${item} has another score`;
  }
  for (let i = 0; i < expected.scores.length; i++) {
    if (apart(found.scores[i], expected.scores[i])) return `another score at position ${i + 1}`;
  }
  for (const [item, score] of [...ours, ...theirs]) {
    if (ours.has(item) && theirs.has(item)) continue;
    const end = ours.has(item) ? expected.scores.at(-1) : found.scores.at(-1);
    if (apart(score, end)) return `item ${item} is in one list only`;
  }
  return null;
}

/** Return which share of the expected items is in a list. */
export function overlap(found, expected) {
  if (!expected.length) return found.length ? 0 : 1;
  const known = new Set(found);
  return expected.filter((item) => known.has(item)).length / expected.length;
}

function scoreOf({ items, scores }) {
  return new Map(items.map((item, index) => [item, scores[index]]));
}
