/** Percentiles of raw samples: linear interpolation between order statistics, as `mobile_bench.statistics`. */

/** @returns {number} the `percent`-th percentile. */
export function percentile(samples, percent) {
  const sorted = Float64Array.from(samples).sort();
  const at = ((sorted.length - 1) * percent) / 100;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

/** @returns {object} what a record says about samples, without the interval. */
export function distribution(samples) {
  const [p50, p90, p99] = [50, 90, 99].map((percent) => percentile(samples, percent));
  return { count: samples.length, p50, p90, p99, mean: samples.reduce((sum, one) => sum + one, 0) / samples.length };
}
