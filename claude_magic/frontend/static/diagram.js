// Mermaid's text as a picture, by JupyterLab's own Mermaid. The picture is an image: nothing in it runs or loads. While
// it is made Mermaid's drawing stands in the page for a moment, so a text that could load something is not drawn.

import { element } from "./elements.js";

const MAX_CHARACTERS = 20_000;
const MAX_MESSAGE = 160;
// Settings of its own, addresses, and CSS that could spell one.
const LOADS = /%%\s*\{|^\s*---|\/\/|url\s*\(|@\s*import|\bimg\s*:|<\s*(iframe|image|img|link|script|style|svg)\b/im;
const ESCAPED = /\\[0-9a-f/]/i;

/** Whether code in a language can be drawn. @param {string} language */
export const canDraw = (language) => language === "mermaid";

/**
 * The picture of a text, or what is to be said instead, in one line.
 * @param {import("page").IMermaidManager} mermaid
 * @param {string} text
 * @returns {Promise<HTMLElement | string>}
 */
export async function draw(mermaid, text) {
  if (text.length > MAX_CHARACTERS) return "Not drawn: the diagram is too long.";
  if (LOADS.test(text.replaceAll("\\", "")) || ESCAPED.test(text)) {
    return "Not drawn: the diagram has settings or addresses of its own.";
  }
  try {
    const { svg, width, accessibleTitle } = await mermaid.renderSvg(text);
    const image = element("img", "");
    image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    image.alt = accessibleTitle || "Diagram of the code above";
    if (width) image.width = width;
    await image.decode();
    const figure = element("figure", "claude-diagram");
    figure.append(image);
    return figure;
  } catch (error) {
    const [line] = (error instanceof Error ? error.message : String(error)).split("\n", 1);
    return `Not drawn: ${line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)} …` : line.replace(/:$/, ".")}`;
  }
}
