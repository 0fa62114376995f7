// What the outline says, as plain values: the turns by chat with cost and marks, from their records and from what the
// kernel knows of them.

import { dollars, parse } from "./cost.js";
import { isPrompt } from "./expressions.js";
import { sum } from "./record.js";

const STAND_IN = "offline stand-in, not Claude";
const STALE = "asked before the change above";
/** More rows are of no use, and would hold the page up. */
const MAX_ROWS = 1000;
const MAX_CHARACTERS = 80;

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
  const rows = turns.slice(0, MAX_ROWS).map((turn) => row(turn, state));
  const standIn = rows.length > 0 && rows.every(({ marks }) => marks.includes(STAND_IN));
  if (standIn) for (const each of rows) each.marks = each.marks.filter((mark) => mark !== STAND_IN);
  /** @type {Map<string | null, Row[]>} */
  const chats = new Map();
  for (const each of rows) {
    const name = each.turn.kind === "map" ? null : each.turn.chat;
    const held = chats.get(name);
    if (held) held.push(each);
    else chats.set(name, [each]);
  }
  return {
    total: dollars(state ? parse(state.notebook) : sum(turns)),
    note: standIn ? STAND_IN : "",
    chats: [...chats].map(([name, held]) => ({
      name: name ?? "%%claude_map",
      total: dollars(sum(held.map(({ turn }) => turn))),
      rows: held,
    })),
    stale: turns.filter((turn) => state?.turns.get(turn.id)?.stale),
    more: Math.max(0, turns.length - MAX_ROWS),
  };
}

/**
 * @param {Turn} turn
 * @param {import("./kernel_state.js").State | null} state
 * @returns {Row}
 */
function row(turn, state) {
  const known = state?.turns.get(turn.id);
  const marks = known?.marks ?? turn.marks;
  return {
    turn,
    prompt: turn.prompt || firstLine(turn.cell.sharedModel.getSource()),
    cost: dollars(known ? parse(known.cost) : turn.cost),
    marks: known?.stale ? [STALE, ...marks] : marks,
  };
}

/** The first line of a question, or of a cell that is none. @param {string} source */
export function firstLine(source) {
  const lines = source.slice(0, 10_000).split("\n");
  const asked = isPrompt(lines[0] ?? "") ? lines.slice(1) : lines;
  const line = (asked.find((each) => each.trim()) ?? lines[0] ?? "").trim();
  return line.length > MAX_CHARACTERS ? `${line.slice(0, MAX_CHARACTERS)}…` : line;
}
