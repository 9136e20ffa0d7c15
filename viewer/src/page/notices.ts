/** Notices shown at once. The first ones name the cause; more of them would cover the picture. */
const MAX_NOTICES = 4;

/**
 * Shows a message to the visitor at the top of the page, until it is dismissed. The text may come from
 * outside, so it is never parsed as HTML.
 * @returns removes the notice
 */
export function notice(text: string, kind: "alarm" | "quiet" = "alarm"): () => void {
  const list = document.getElementById("notices");
  const nothing = (): void => {};
  if (!list || list.childElementCount >= MAX_NOTICES) return nothing;
  if ([...list.children].some((child) => child.firstElementChild?.textContent === text)) return nothing;
  const box = document.createElement("div");
  box.className = kind === "quiet" ? "notice quiet" : "notice";
  const message = document.createElement("p");
  message.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.ariaLabel = "Dismiss";
  close.addEventListener("click", () => box.remove());
  box.append(message, close);
  list.append(box);
  return () => box.remove();
}
