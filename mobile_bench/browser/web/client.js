/** The page's end of a worker. */

import { Refusal } from './errors.js';

export class Client {
  #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  #waiting = new Map();
  #next = 0;

  /** @param {(message: object) => void} told what the worker says without being asked. */
  constructor(told = () => {}) {
    this.#worker.onmessage = ({ data }) => ('id' in data ? this.#settle(data) : told(data));
    this.#worker.onerror = (event) => this.#fail(new Error(event.message || 'the worker cannot be loaded'));
  }

  /**
   * Send a request and wait for its reply.
   *
   * @throws {Refusal} about something that the user can change.
   */
  ask(request) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, request });
    });
  }

  /** End the worker and free everything it holds. */
  close() {
    this.#worker.terminate();
    this.#fail(new Error('the worker was ended'));
  }

  #settle({ id, reply, refused, exit_code: exitCode, broken }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (broken) reject(new Error(broken));
    else if (refused) reject(new Refusal(refused, exitCode));
    else resolve(reply);
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
