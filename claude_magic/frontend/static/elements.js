// Elements of the page, made of text and of other elements (what is no element is text, never HTML), and their style.

/**
 * An element; strings are set as text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 * @param {...(Node | string)} children
 */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/**
 * A button with a text or an icon.
 * @param {string} name
 * @param {string} title
 * @param {() => void} pressed
 * @param {import("page").LabIcon} [icon]
 */
export function button(name, title, pressed, icon) {
  const made = element("button", "claude-button", icon ? "" : name);
  made.type = "button";
  made.title = title;
  if (icon) {
    made.setAttribute("aria-label", name);
    icon.element({ container: made, tag: "span" });
  }
  made.addEventListener("click", pressed);
  return made;
}

/** Load the style of all that the features show. */
export function addStyle() {
  const link = element("link", "");
  link.rel = "stylesheet";
  link.href = new URL("style.css", import.meta.url).href;
  document.head.append(link);
}
