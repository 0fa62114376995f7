// What JupyterLab and Notebook load: a module-federation container written by hand, so that nothing needs a build.
//
// They call `init` with the packages that they share, then `get` for the module of plugins. A package that is not
// shared makes `get` fail: the page says so in its console, and the notebook is what it is without the extension.
(() => {
  const here = /** @type {HTMLScriptElement} */ (document.currentScript).src;
  /** @type {Record<string, Record<string, {get: () => Promise<() => unknown>, loaded?: unknown}>>} */
  let shares = {};

  /** One shared package; the version that the page uses already, where there are several. @param {string} name */
  async function shared(name) {
    const versions = Object.values(shares[name] ?? {});
    const found = versions.find((each) => each.loaded) ?? versions[0];
    if (!found) throw new Error(`claude-magic: the page does not share ${name}`);
    return [name, (await found.get())()];
  }

  const page = /** @type {{_JUPYTERLAB?: Record<string, unknown>}} */ (/** @type {unknown} */ (window));
  (page._JUPYTERLAB ??= {})["claude-magic"] = {
    init: (/** @type {typeof shares} */ given) => void (shares = given),
    get: async () => {
      /** @type {typeof import("./plugin.js")} */
      const { NEEDS, plugins } = await import(new URL("plugin.js", here).href);
      const packages = Object.fromEntries(await Promise.all(NEEDS.map(shared)));
      return () => ({ __esModule: true, default: plugins(packages) });
    },
  };
})();
