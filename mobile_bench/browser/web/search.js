/** Items by title: whatever contains every word, in the order of the item table. */

/** Return a text without case and accents. */
function plain(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

export class Search {
  #titles;

  /** @param {{title: string}[]} items by row. */
  constructor(items) {
    this.#titles = items.map((item) => plain(item.title));
  }

  /** @returns {number[]} the rows of all matches; all rows where nothing is asked for. */
  find(query) {
    const words = plain(query).split(/\s+/).filter(Boolean);
    const rows = [];
    this.#titles.forEach((title, row) => {
      if (words.every((word) => title.includes(word))) rows.push(row);
    });
    return rows;
  }
}
