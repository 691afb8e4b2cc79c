/** What the page shows: elements made from plain values. */

const MIB = 2 ** 20;

/** Return the page's element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Show a text in an element; hide it where there is none. */
export function showText(id, text) {
  const element = byId(id);
  element.textContent = text ?? '';
  element.hidden = !text;
}

/** Show the history as chips that can be removed. */
export function showHistory(history, items, window, remove) {
  byId('history').replaceChildren(
    ...history.map((row, index) => {
      const chip = element('li', index < history.length - window ? 'chip unread' : 'chip');
      const button = element('button', 'remove', '×');
      button.type = 'button';
      button.setAttribute('aria-label', `Remove ${items[row].title}`);
      button.addEventListener('click', () => remove(index));
      chip.append(element('span', '', items[row].title), button);
      return chip;
    }),
  );
  byId('history').scrollLeft = byId('history').scrollWidth; // where it is one line, its end is what matters
  byId('history-empty').hidden = history.length > 0;
  byId('clear').hidden = history.length === 0;
  showText('history-window', history.length > window ? `The last ${window} are read.` : null);
}

/** Show the recommendations, each a button that adds it to the history. */
export function showRecommendations(answer, items, add) {
  const list = byId('recommendations');
  byId('next-empty').hidden = answer !== null;
  if (answer === null) {
    list.replaceChildren();
    return;
  }
  const shares = answer.scores.map(Math.exp);
  replaceRows(
    list,
    answer.items.map((row, index) => {
      const button = rowButton(items[row].title, () => add(row));
      const bar = element('span', 'bar');
      bar.style.inlineSize = `${(100 * shares[index]) / Math.max(...shares)}%`;
      const share = element('span', 'share', percent(shares[index]));
      button.prepend(element('span', 'rank', String(index + 1)));
      button.append(share, bar);
      return inListItem(button);
    }),
  );
}

/** Show items that can be added; those of the history are marked. */
export function showResults(rows, items, history, add) {
  const known = new Set(history);
  replaceRows(
    byId('results'),
    rows.map((row) => {
      const button = rowButton(items[row].title, () => add(row));
      const mark = element('span', 'mark', known.has(row) ? '✓' : '+');
      mark.ariaHidden = 'true';
      button.append(mark);
      return inListItem(button);
    }),
  );
}

/** Show figures as rows of two cells. */
export function showFigures(figures) {
  byId('figures').replaceChildren(
    ...figures.map(([name, value]) => {
      const row = element('tr');
      const head = element('th', '', name);
      head.scope = 'row';
      row.append(head, element('td', '', value));
      return row;
    }),
  );
}

/** Fill a selection with `[value, words]`. */
export function showChoices(id, choices, chosen) {
  byId(id).replaceChildren(
    ...choices.map(([value, words]) => new Option(words, value, false, String(value) === String(chosen))),
  );
}

/** Return milliseconds as people read them. */
export function ms(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(2)} ms`;
}

/** Return bytes as people read them. */
export function mib(bytes) {
  return `${(bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0)} MiB`;
}

/** Return a number with its noun. */
export function counted(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

function percent(share) {
  return share >= 0.001 ? `${(100 * share).toFixed(1)} %` : '< 0.1 %';
}

/** Show other rows; who went through the old ones by keyboard goes on at the same place. */
function replaceRows(list, rows) {
  const focused = Array.from(list.children).findIndex((row) => row.contains(document.activeElement));
  list.replaceChildren(...rows);
  if (focused >= 0) list.children[Math.min(focused, rows.length - 1)]?.querySelector('button').focus();
}

function rowButton(title, act) {
  const button = element('button', 'row');
  button.type = 'button';
  button.append(element('span', 'hidden', 'Add '), element('span', 'title', title));
  button.addEventListener('click', act);
  return button;
}

function inListItem(content) {
  const item = element('li');
  item.append(content);
  return item;
}

function element(name, className = '', text = '') {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
