/** What a page can say about where it runs. */

import { offeredAdapter } from './runtime.js';

/** @returns {Promise<object>} as `mobile_bench.browser.protocol.BrowserFacts`. */
export async function browserFacts() {
  return {
    user_agent: navigator.userAgent,
    platform: navigator.userAgentData?.platform || navigator.platform,
    cores: navigator.hardwareConcurrency,
    cross_origin_isolated: globalThis.crossOriginIsolated,
    adapter: await offeredAdapter(),
  };
}
