// Text to the clipboard, with or without the page's right to it.

const NOT_COPIED = "This page may not use the clipboard: select the code, and press Ctrl+C.";

/**
 * Put a text on the clipboard; where the page is not from HTTPS or this machine, by the browser's older way. Returns
 * what the reader is told.
 * @param {string} text
 */
export async function copy(text) {
  try {
    if (navigator.clipboard) return await navigator.clipboard.writeText(text).then(() => "Copied.");
  } catch {
    // Not allowed: the older way may be.
  }
  const set = (/** @type {ClipboardEvent} */ event) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  document.addEventListener("copy", set, { capture: true, once: true });
  const copied = document.execCommand("copy");
  document.removeEventListener("copy", set, { capture: true });
  return copied ? "Copied." : NOT_COPIED;
}
