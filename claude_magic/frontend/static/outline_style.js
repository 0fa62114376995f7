// How the outline looks, in the colours of the page's theme.

export const STYLE = `
.claude-outline {
  overflow-y: auto; padding: 8px 0; line-height: 1.4; outline: none;
  color: var(--jp-ui-font-color1); font-family: var(--jp-ui-font-family); font-size: var(--jp-ui-font-size1);
}
.claude-outline-total, .claude-outline-note, .claude-outline-said { margin: 0 12px; overflow-wrap: anywhere; }
.claude-outline-note, .claude-outline-said { color: var(--jp-ui-font-color2); }
.claude-outline-stale.jp-mod-styled { margin: 6px 12px; padding: 0 10px; max-width: calc(100% - 24px); }
.claude-outline h3 {
  display: flex; gap: 8px; justify-content: space-between; margin: 10px 12px 2px;
  font-size: var(--jp-ui-font-size1); font-weight: 600; overflow-wrap: anywhere;
}
.claude-outline h3 span + span { flex: none; }
.claude-outline ul { list-style: none; margin: 0; padding: 0; }
.claude-outline li button {
  display: grid; grid-template-columns: minmax(0, 1fr) auto; column-gap: 8px; width: 100%; padding: 3px 12px 3px 9px;
  border: 0; border-inline-start: 3px solid transparent; background: none; color: inherit; font: inherit;
  text-align: start; cursor: pointer;
}
.claude-outline li button:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -2px; }
.claude-outline-prompt { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.claude-outline-cost { font-variant-numeric: tabular-nums; }
.claude-outline-cost, .claude-outline-marks { color: var(--jp-ui-font-color2); }
.claude-outline li button[aria-current] { border-inline-start-color: var(--jp-brand-color1); }
.claude-outline li button:is(:hover, [aria-current]) { background: var(--jp-layout-color2); }
.claude-outline li button:is(:hover, [aria-current]) span { color: var(--jp-ui-font-color1); }
.claude-outline-marks { grid-column: 1 / -1; font-size: var(--jp-ui-font-size0); overflow-wrap: anywhere; }
`;
