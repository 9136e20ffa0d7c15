import { byId } from "./by-id.ts";

/** The bar at the top edge, and the line below the title. */
export class LoadingBar {
  #total = 0;
  #waiting = false;
  #shown = 0;
  #failed = 0;

  /** @param waiting whether the first asset is still being built */
  setTotal(total: number, waiting: boolean): void {
    this.#total = total;
    this.#waiting = waiting;
    this.#update();
  }

  addShown(): void {
    this.#shown++;
    this.#update();
  }

  addFailed(): void {
    this.#failed++;
    this.#update();
  }

  #update(): void {
    const [total, shown, failed] = [this.#total, this.#shown, this.#failed];
    const finished = shown + failed;
    const bar = byId("progress");
    (bar.firstElementChild as HTMLElement).style.width = `${total === 0 ? 100 : (100 * finished) / total}%`;
    bar.ariaValueNow = String(finished);
    bar.ariaValueMax = String(total);
    bar.classList.toggle("done", finished >= total && !this.#waiting);
    const loaded = `${shown} asset${shown === 1 ? "" : "s"}`;
    const caption = finished < total ? `Loading ${total - finished} of ${total}…` : loaded;
    const text = this.#waiting ? "Waiting for the first asset to be built…" : caption;
    byId("caption").textContent = failed > 0 ? `${text}, ${failed} missing` : text;
  }
}
