/** A history as token ids, by the manifest's `prompt`. */

/** Return how many tokens two prompts share whose first `items` items are the same. */
export function reusableTokens(prompt, items) {
  const counted = Math.min(items, prompt.max_items);
  const separators = prompt.separator_ids.length * Math.max(counted - 1, 0);
  return prompt.prefix_ids.length + counted * prompt.code_sizes.length + separators;
}

/**
 * @param {object} prompt
 * @param {import('./catalog.js').Catalog} catalog
 * @param {number[]} history item rows, oldest first; the last `max_items` are read.
 * @returns {number[]} token ids.
 */
export function promptIds(prompt, catalog, history) {
  const { levels, arrays } = catalog;
  const ids = [...prompt.prefix_ids];
  history.slice(-prompt.max_items).forEach((row, index) => {
    if (index > 0) ids.push(...prompt.separator_ids);
    for (let level = 0; level < levels; level++) {
      ids.push(arrays.node_code[arrays.item_path[row * (levels + 1) + level]] + prompt.first_code_token);
    }
  });
  return [...ids, ...prompt.suffix_ids];
}
