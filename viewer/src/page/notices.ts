/** At most so many at once: the first say what is wrong, more would bury the picture. */
const MOST = 4;

/**
 * Says something to the visitor in plain words, at the top of the page, until it is dismissed. The text may hold
 * words from outside: it is never parsed as HTML.
 * @returns takes it back
 */
export function notice(text: string, kind: "alarm" | "quiet" = "alarm"): () => void {
  const list = document.getElementById("notices");
  const nothing = (): void => {};
  if (!list || list.childElementCount >= MOST) return nothing;
  if ([...list.children].some((child) => child.firstElementChild?.textContent === text)) return nothing;
  const line = document.createElement("div");
  line.className = kind === "quiet" ? "notice quiet" : "notice";
  const words = document.createElement("p");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.ariaLabel = "Dismiss";
  close.addEventListener("click", () => line.remove());
  line.append(words, close);
  list.append(line);
  return () => line.remove();
}
