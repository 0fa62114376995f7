// What the outline says, as plain values: the turns by chat with cost and marks, from their records and from what the
// kernel knows of them.

import { dollars, parse, total } from "./cost.js";
import { isPrompt } from "./expressions.js";
import { sum } from "./record.js";
import { STAND_IN } from "./record_entries.js";

const REPLAYED = "replayed";
const COMPARED = "compared";
const LEFT = "not in the conversation";
const STALE = "asked before the change above";
/** More rows are of no use, and would hold the page up. */
const MAX_ROWS = 1000;
const MAX_CHARACTERS = 80;

/**
 * @typedef {import("./record.js").Turn} Turn
 * @typedef {import("./kernel_state.js").State} State
 * @typedef {{turn: Turn, prompt: string, cost: string, marks: string[]}} Row
 * @typedef {{name: string, total: string, rows: Row[]}} Chat
 * @typedef {{total: string, note: string, chats: Chat[], stale: Turn[], more: number}} Outline
 */

/**
 * @param {Turn[]} turns
 * @param {State | null} state
 * @returns {Outline}
 */
export function outline(turns, state) {
  const own = new Set(turns.filter(({ kind }) => kind === "turn").map(({ id }) => id));
  const listed = turns.filter(({ kind, id }) => kind !== "guest" || !own.has(id)); // its own cell shows it as well
  const rows = listed.slice(0, MAX_ROWS).map((turn) => row(turn, state));
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
      total: dollars(totalOf(held, state)),
      rows: held,
    })),
    // A turn that was brought back is of no cell that asks it: running `%claude_undo` again undoes something else.
    stale: listed.filter(({ kind, id }) => kind === "turn" && state?.turns.get(id)?.stale),
    more: Math.max(0, listed.length - MAX_ROWS),
  };
}

/**
 * @param {Turn} turn
 * @param {State | null} state
 * @returns {Row}
 */
function row(turn, state) {
  const known = state?.turns.get(turn.id);
  const marks = known ? [...turn.marks.filter((mark) => mark === REPLAYED), ...known.marks] : [...turn.marks];
  if (known?.stale) marks.unshift(STALE);
  if (turn.kind === "compared") marks.unshift(COMPARED);
  else if (turn.kind === "turn" && !known && state && state.notebook !== "0") marks.unshift(LEFT);
  const prompt = turn.prompt || firstLine(turn.cell.sharedModel.getSource());
  return { turn, prompt, cost: dollars(costOf(turn, state)), marks };
}

/** @param {Turn} turn @param {State | null} state */
function costOf(turn, state) {
  const known = state?.turns.get(turn.id);
  return known ? parse(known.cost) : turn.cost;
}

/**
 * What a chat cost: by the records, or by the kernel where a record does not say it, and no call stands in two of them.
 * @param {Row[]} rows
 * @param {State | null} state
 */
function totalOf(rows, state) {
  const turns = rows.map(({ turn }) => turn);
  const keys = turns.flatMap(({ calls }) => calls.map(({ key }) => key));
  const apart = new Set(keys).size === keys.length;
  return sum(turns) ?? (apart ? total(turns.map((turn) => costOf(turn, state))) : null);
}

/** The first line of a question, or of a cell that is none. @param {string} source */
export function firstLine(source) {
  const lines = source.slice(0, 10_000).split("\n");
  const asked = isPrompt(lines[0] ?? "") ? lines.slice(1) : lines;
  const line = (asked.find((each) => each.trim()) ?? lines[0] ?? "").trim();
  return line.length > MAX_CHARACTERS ? `${line.slice(0, MAX_CHARACTERS)}…` : line;
}
