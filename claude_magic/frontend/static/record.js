// What the outputs of a notebook say of its turns, from the records in their metadata, and what these cost together.

import { total } from "./cost.js";
import { entries } from "./record_entries.js";

/** @typedef {import("./record_entries.js").Entry & {cell: import("page").CellModel, index: number}} Turn */

const MAX_ENTRIES = 100_000;

/**
 * The turns and maps that the code cells of a notebook show, in order.
 * @param {Iterable<import("page").CellModel>} cells
 * @returns {Turn[]}
 */
export function turns(cells) {
  const found = [];
  let index = -1;
  for (const cell of cells) {
    index += 1;
    for (let at = 0; at < (cell.outputs?.length ?? 0); at++) {
      for (const entry of entries(cell.outputs?.get(at).metadata?.claude_magic)) {
        if (found.push({ ...entry, cell, index }) >= MAX_ENTRIES) return found;
      }
    }
  }
  return found;
}

/**
 * What the turns cost together: each call once, although a continued reply has the calls of the reply it continues.
 * Not known where there may be more than were read.
 * @param {Turn[]} turns
 */
export function sum(turns) {
  if (turns.length >= MAX_ENTRIES) return null;
  const seen = new Set();
  const costs = turns.flatMap(({ calls }) => {
    const fresh = calls.filter(({ key }) => !seen.has(key));
    for (const { key } of fresh) if (key) seen.add(key);
    return fresh.map(({ cost }) => cost);
  });
  return total(costs);
}
