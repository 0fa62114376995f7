// What the outline says, as plain values: the turns by chat with cost and marks, from the record and from what the
// kernel knows of them.

import { cost as costOf, dollars, sum } from "./record.js";

const STAND_IN = "offline stand-in, not Claude";
const STALE = "asked before the change above";
/** A longer outline is of no use, and would hold the page up. */
const MAX_ROWS = 1000;

/**
 * @typedef {import("./record.js").Turn} Turn
 * @typedef {{turn: Turn, prompt: string, cost: string, marks: string[]}} Row
 * @typedef {{name: string, total: string, rows: Row[]}} Chat
 * @typedef {{total: string, note: string, chats: Chat[], stale: Turn[], more: number}} Outline
 */

/**
 * @param {Turn[]} turns
 * @param {import("./kernel_state.js").State | null} state
 * @returns {Outline}
 */
export function outline(turns, state) {
  const known = new Map(Object.entries(state?.turns ?? {}));
  const rows = turns.slice(0, MAX_ROWS).map((turn) => row(turn, known.get(turn.id)));
  const standIn = rows.length > 0 && rows.every((each) => each.marks.includes(STAND_IN));
  if (standIn) for (const each of rows) each.marks = each.marks.filter((mark) => mark !== STAND_IN);
  /** @type {Map<string, Row[]>} */
  const chats = new Map();
  for (const each of rows) {
    const held = chats.get(each.turn.chat);
    if (held) held.push(each);
    else chats.set(each.turn.chat, [each]);
  }
  return {
    total: state ? dollars(costOf(state.notebook)) : dollars(sum(turns)),
    note: standIn ? STAND_IN : "",
    chats: [...chats].map(([name, held]) => ({ name, total: dollars(sum(held.map(({ turn }) => turn))), rows: held })),
    stale: turns.filter((turn) => known.get(turn.id)?.stale),
    more: Math.max(0, turns.length - MAX_ROWS),
  };
}

/**
 * @param {Turn} turn
 * @param {import("./kernel_state.js").TurnState | undefined} known what the kernel knows of it
 * @returns {Row}
 */
function row(turn, known) {
  const marks = known?.marks ?? turn.marks;
  return {
    turn,
    prompt: turn.prompt || "(no text)",
    cost: dollars(known ? costOf(known.cost) : turn.cost),
    marks: known?.stale ? [STALE, ...marks] : marks,
  };
}
