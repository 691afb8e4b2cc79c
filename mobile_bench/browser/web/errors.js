/** What the user can change; everything else that is thrown is a defect of ours. */
export class Refusal extends Error {
  /**
   * @param {string} message what was found, what was expected, what to do.
   * @param {number} exitCode 2: an input; 4: the device.
   */
  constructor(message, exitCode = 2) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Return a refusal that the device, and not the bundle, is to blame for. */
export function deviceRefusal(message) {
  return new Refusal(message, 4);
}
