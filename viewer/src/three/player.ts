import { AnimationClip, AnimationMixer } from "three";
import type { AssetState, Download } from "../core/asset.ts";
import { type Base, exactBuffer, parseAnimation } from "./base.ts";

/** A call of `animation` whose clip has not arrived. */
interface ClipRequest {
  readonly name: string;
  resolve(clip: AnimationClip): void;
  reject(error: Error): void;
}

/** Length of the transition into another animation, seconds. */
const TRANSITION_S = 0.2;

/**
 * Plays the animations of an asset, and returns them to the page. Animations with keyframe files of their own
 * are requested when they are needed, and are added to those of the base when they arrive.
 */
export class Player {
  /** Null while there is nothing to play. */
  mixer: AnimationMixer | null = null;
  readonly #state: AssetState;
  readonly #base: Base;
  /** Whether the asset is in a scene. */
  readonly #isInScene: () => boolean;
  /** As given to `play`; undefined for the first animation. */
  #name: string | undefined;
  #current: AnimationClip | null = null;
  #requests: ClipRequest[] = [];

  constructor(state: AssetState, base: Base, isInScene: () => boolean) {
    this.#state = state;
    this.#base = base;
    this.#isInScene = isInScene;
    const [first] = state.animationsToPlay ?? [];
    this.play(first);
  }

  /** Names of all animations; before the manifest has arrived, of those in the base. */
  get names(): string[] {
    return (this.#state.manifest?.animations ?? this.#base.animations).map(({ name }) => name);
  }

  play(name?: string): void {
    this.#name = name;
    this.update();
  }

  animation(name: string): Promise<AnimationClip> {
    return new Promise((resolve, reject) => {
      this.#requests.push({ name, resolve, reject });
      this.update();
    });
  }

  /** Adds an animation from its keyframe file. */
  async add(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const clip = await parseAnimation(this.#base, exactBuffer(bytes));
    signal.throwIfAborted();
    this.#base.animations.push(clip);
    this.update();
  }

  /** A download has failed: rejects the requests that wait for it. */
  downloadFailed(download: Download, error: Error): void {
    const { kind } = download;
    if (kind === "manifest") this.#reject(error);
    if (kind === "animation") this.#reject(error, this.#state.manifest?.animations[download.animation]?.name);
  }

  dispose(): void {
    this.mixer?.stopAllAction();
    this.mixer?.uncacheRoot(this.#base.root);
    this.#reject(new DOMException("the asset was unloaded", "AbortError"));
  }

  /**
   * Answers requests, tells the core which animations are needed, and plays the wanted one if it is loaded.
   */
  update(): void {
    const { names } = this;
    const find = (name: string): AnimationClip | null =>
      AnimationClip.findByName(this.#base.animations, name);
    // Before the manifest has arrived, an animation that the base lacks may have a file of its own.
    const isUnknown = (name: string): boolean => this.#state.manifest !== null && !names.includes(name);
    this.#requests = this.#requests.filter(({ name, resolve }) => {
      const clip = find(name);
      if (clip) resolve(clip);
      return !clip;
    });
    for (const { name } of [...this.#requests]) {
      const failed = this.#state.animations[names.indexOf(name)]?.retryAt === Number.POSITIVE_INFINITY;
      if (isUnknown(name)) this.#reject(new Error(`${this.#state.id} has no animation "${name}"`), name);
      else if (failed) this.#reject(new Error(`the keyframes of "${name}" cannot be loaded`), name);
    }
    const wanted = this.#name || names[0];
    if (wanted === undefined) return;
    this.#state.animationsToPlay = new Set([wanted, ...this.#requests.map(({ name }) => name)]);
    const clip = find(wanted);
    if (clip || isUnknown(wanted)) this.#switchTo(clip);
  }

  /** Outside a scene the change needs no transition. */
  #switchTo(clip: AnimationClip | null): void {
    if (clip === this.#current) return;
    const seconds = this.#isInScene() && clip ? TRANSITION_S : 0;
    const before = this.#current && this.mixer?.clipAction(this.#current);
    if (seconds) before?.fadeOut(seconds);
    else before?.stop();
    this.#current = clip;
    if (!clip) return;
    this.mixer ??= new AnimationMixer(this.#base.root);
    const action = this.mixer.clipAction(clip).reset().play();
    if (seconds) action.fadeIn(seconds);
  }

  /** Rejects the requests for an animation, or all of them. */
  #reject(error: Error, name?: string): void {
    const rejected = this.#requests.filter((request) => name === undefined || request.name === name);
    this.#requests = this.#requests.filter((request) => !rejected.includes(request));
    for (const { reject } of rejected) reject(error);
  }
}
