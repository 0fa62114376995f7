// What one output's record says of its turns. It may come from anybody: types are checked, lengths are cut, and a
// record that does not fit is left out as a whole.

import { FREE, parse, total } from "./cost.js";

/**
 * @typedef {import("./cost.js").Cost} Cost
 * @typedef {{key: string, cost: Cost | null}} Call
 * @typedef {{kind: "turn" | "compared" | "guest" | "map", id: string, chat: string, prompt: string,
 *   cost: Cost | null, calls: Call[], marks: string[]}} Entry
 * @typedef {Record<string, unknown>} Plain
 */

const VERSION = 1;
const MAX_TURNS = 10_000; // in one record, and their calls as well
const MAX_NAME = 300;
const MAX_PROMPT = 200;
/** The mark of a turn that Claude did not answer. */
export const STAND_IN = "offline stand-in, not Claude";
const STOPS = { max_tokens: "cut off", model_context_window_exceeded: "cut off", refusal: "refused" };
/** What was read from a record: outputs are exchanged, not changed. @type {WeakMap<object, Entry[]>} */
const read = new WeakMap();

/** @param {unknown} value @returns {value is Plain} */
const isPlain = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** @param {unknown} value @returns {value is unknown[]} */
const isList = (value) => Array.isArray(value) && value.length <= MAX_TURNS;
/** @param {unknown} value @returns {value is string} */
const isName = (value) => typeof value === "string" && value.length <= MAX_NAME;

/** The turns and maps of a record, in order; none where it is no record. @param {unknown} record */
export function entries(record) {
  if (!isPlain(record)) return [];
  const found = read.get(record) ?? (record.version === VERSION ? (ofTurns(record) ?? ofMap(record)) : null) ?? [];
  read.set(record, found);
  return found;
}

/** @param {Plain} record @returns {Entry[] | null} */
function ofTurns({ turn, others = [], turns: guests, cost }) {
  const costs = isList(cost) ? cost.values() : [].values();
  if (isPlain(turn) && isList(others)) {
    const first = entry("turn", turn, costs); // before the others: the costs stand in this order
    return whole([first, ...others.map((each) => entry("compared", each, costs))]);
  }
  return isList(guests) ? whole(guests.map((each) => entry("guest", each, costs))) : null;
}

/** All of a record's entries, or none. @param {(Entry | null)[]} found */
const whole = (found) => (found.includes(null) ? [] : /** @type {Entry[]} */ (found));

/**
 * @param {Entry["kind"]} kind
 * @param {unknown} turn
 * @param {Iterator<unknown>} costs of the record's calls, in order
 * @returns {Entry | null}
 */
function entry(kind, turn, costs) {
  if (!isPlain(turn) || !isName(turn.id) || !isList(turn.messages) || !isList(turn.calls)) return null;
  const calls = turn.calls.map((each) => call(each, costs.next().value));
  const marks = new Set(turn.status === "interrupted" ? ["interrupted"] : []);
  for (const each of turn.calls.filter(isPlain)) {
    if (each.replayed === true) marks.add("replayed");
    if (each.provider === "offline") marks.add(STAND_IN);
  }
  const last = turn.calls.at(-1);
  const stop = isPlain(last) && typeof last.stop_reason === "string" ? last.stop_reason : "";
  if (Object.hasOwn(STOPS, stop)) marks.add(STOPS[/** @type {keyof typeof STOPS} */ (stop)]);
  const chat = isName(turn.chat) ? turn.chat : "main";
  const cost = total(calls.map((each) => each.cost));
  const asked = isName(turn.asked) && turn.asked ? { content: turn.asked } : turn.messages[0];
  return { kind, id: turn.id, chat, prompt: prompt(asked), cost, calls, marks: [...marks] };
}

/** @param {unknown} call @param {unknown} cost @returns {Call} */
function call(call, cost) {
  if (!isPlain(call)) return { key: "", cost: null };
  const { request_id, message_id, started, replayed } = call;
  const ids = [request_id, message_id].map((id) => (isName(id) && id ? id : null));
  const at = typeof started === "number" && started ? started : null;
  const key = ids.some(Boolean) || at ? JSON.stringify([...ids, at, replayed === true]) : "";
  return { key, cost: replayed === true ? FREE : parse(cost) };
}

/** @param {Plain} record @returns {Entry[] | null} */
function ofMap({ map }) {
  if (!isPlain(map) || !isName(map.id)) return null;
  const dollars = parse(map.dollars);
  const cost = dollars && { ...dollars, atLeast: map.at_least === true };
  const marks = map.provider === "offline" ? [STAND_IN] : [];
  const calls = [{ key: `map ${map.id}`, cost }];
  return [{ kind: "map", id: map.id, chat: "", prompt: "", cost, calls, marks }];
}

/** The start of a prompt's text, on one line. @param {unknown} message */
function prompt(message) {
  const content = isPlain(message) ? message.content : null;
  const blocks = isList(content) ? content.slice(0, MAX_PROMPT).filter(isPlain) : [{ type: "text", text: content }];
  const texts = blocks.map(({ type, text }) => (type === "text" && typeof text === "string" ? text : ""));
  const start = texts.map((text) => text.slice(0, 10 * MAX_PROMPT)).join(" ").slice(0, 10 * MAX_PROMPT);
  return [...start.replace(/[\s\p{C}]+/gu, " ").trim()].slice(0, MAX_PROMPT).join("");
}
