/** Runs before the first paint: nothing flashes in another theme, or is read in one language and moves in the next. */
{
  const { documentElement: root } = document;
  const remembered = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  };
  root.dataset.theme = remembered("theme") || "";
  if ((remembered("language") || navigator.language).startsWith("zh")) {
    root.dataset.unspoken = "";
    setTimeout(() => delete root.dataset.unspoken, 2000); // better English than nothing
  }
}
