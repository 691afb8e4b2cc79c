/** The thread that computes: answers one request after the other, so that the page stays free. */

import { Demo } from './demo.js';
import { Refusal } from './errors.js';
import { Protocol } from './protocol.js';

const [protocol, demo] = [new Protocol(), new Demo((message) => postMessage(message))];
let last = Promise.resolve();

onmessage = ({ data: { id, request } }) => {
  last = last.then(() => answer(id, request));
};

async function answer(id, request) {
  try {
    const handler = Demo.answers(request) ? demo : protocol;
    postMessage({ id, reply: await handler.answer(request) });
  } catch (error) {
    if (error instanceof Refusal) postMessage({ id, refused: error.message, exit_code: error.exitCode });
    else postMessage({ id, broken: String(error?.stack ?? error) });
  }
}
