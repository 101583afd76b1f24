/** The sum of the numbers. */
export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** The least-squares line through the values at 0, 1, 2, …: { slope, intercept }. */
export function linearTrend(values) {
  const middle = (values.length - 1) / 2;
  const mean = sum(values) / values.length;
  const covariance = sum(values.map((value, index) => (index - middle) * (value - mean)));
  const variance = sum(values.map((_, index) => (index - middle) ** 2));
  const slope = covariance / variance;
  return { slope, intercept: mean - slope * middle };
}

/** Indexes of the values that lie further than `threshold` standard deviations from the trend. */
export function outliers(values, threshold) {
  const { slope, intercept } = linearTrend(values);
  const residuals = values.map((value, index) => value - (intercept + slope * index));
  const deviation = Math.sqrt(sum(residuals.map((residual) => residual ** 2)) / values.length);
  return residuals.flatMap((residual, index) =>
    Math.abs(residual) > threshold * deviation ? [index] : []
  );
}
