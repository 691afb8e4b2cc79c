/** The page that `odllm bench` drives: `ask` passes a request on to the worker and returns its answer. */

import { Client } from './client.js';
import { Refusal } from './errors.js';

const client = new Client();

/** @returns {Promise<object>} as `mobile_bench.protocol.Answer`. */
globalThis.ask = async (request) => {
  try {
    return { reply: await client.ask(request) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refused: error.message, exit_code: error.exitCode };
  }
};
