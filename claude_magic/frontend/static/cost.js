// Exact costs, as the kernel counts them (`claude_magic/cost/pricing.py`): parsed, added, and shown with its digits.

/**
 * A cost in units of 10 to the power of -40 dollars; `atLeast` marks a lower bound. `null` stands for an unknown one.
 * @typedef {{units: bigint, atLeast: boolean}} Cost
 */

const PLACES = 40;
const COST = /^(≥?)(\d{1,12})(?:\.(\d{1,40}))?$/;

/** @type {Cost} */
export const FREE = { units: 0n, atLeast: false };

/** A cost as records and the kernel write it: `0.012`, `≥0.012`, `n/a`. @param {unknown} text @returns {Cost | null} */
export function parse(text) {
  const found = typeof text === "string" ? COST.exec(text) : null;
  if (!found) return null;
  return { units: BigInt(found[2] + (found[3] ?? "").padEnd(PLACES, "0")), atLeast: found[1] !== "" };
}

/**
 * The sum of costs: unknown where a part is, a lower bound where a part is.
 * @param {Iterable<Cost | null>} costs
 * @returns {Cost | null}
 */
export function total(costs) {
  let { units, atLeast } = FREE;
  for (const cost of costs) {
    if (!cost) return null;
    units += cost.units;
    atLeast ||= cost.atLeast;
  }
  return { units, atLeast };
}

/**
 * As `pricing.dollars`: `$1,234.50`; below a dollar with four decimals, or more for two significant digits.
 * @param {Cost | null} cost
 */
export function dollars(cost) {
  if (!cost || (cost.atLeast && !cost.units)) return "n/a"; // "at least nothing" is not known either
  const leading = PLACES - String(cost.units).length + 1; // the place of the first digit, behind the point
  let text = rounded(cost.units, cost.units ? Math.max(4, leading + 1) : 2);
  if (!text.startsWith("0")) text = rounded(cost.units, 2);
  return `${cost.atLeast ? "≥" : ""}$${text}`;
}

/** Rounded half up, to at most `PLACES` places. @param {bigint} units @param {number} places */
function rounded(units, places) {
  const kept = Math.min(places, PLACES);
  const step = 10n ** BigInt(PLACES - kept);
  const digits = (((units + step / 2n) / step) * step).toString().padStart(PLACES + 1, "0");
  const whole = digits.slice(0, -PLACES).replace(/\B(?=(\d{3})+$)/g, ",");
  return `${whole}.${digits.slice(-PLACES).slice(0, kept)}`;
}
