// The texts of new prompts: what they are asked about stands in a fence that it cannot leave.

/** The magic's line, and the question's place below it. @param {string} [options] */
export const question = (options) => `%%claude${options ? ` ${options}` : ""}\n`;

/**
 * A prompt that quotes a text byte for byte, with the question's place below. `{{` has no meaning in it where the text
 * has one: a stranger's text reads no value of the kernel.
 * @param {string} text
 * @param {string} [language]
 */
export function quotation(text, language = "") {
  const ticks = [...text.matchAll(/`+/g)].map(([run]) => run.length);
  const fence = "`".repeat(Math.max(2, ...ticks) + 1);
  const last = text.endsWith("\n") ? "" : "\n";
  return `${question(text.includes("{{") ? "--raw" : "")}${fence}${language}\n${text}${last}${fence}\n\n`;
}
