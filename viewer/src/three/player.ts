import { AnimationClip, AnimationMixer } from "three";
import type { AssetState, Download } from "../core/asset.ts";
import { type Base, exactBuffer, parseAnimation } from "./base.ts";

/** Who waits for an animation. */
interface Waiting {
  readonly name: string;
  resolve(clip: AnimationClip): void;
  reject(error: Error): void;
}

/** Seconds in which a model goes from its rest, or from what it did before, into an animation that has come. */
const EASE_S = 0.2;

/**
 * Plays an asset's animations, and hands them out. Those whose keyframes are files of their own are asked for as they
 * are wanted, and join the base's when they come.
 */
export class Player {
  /** Null while there is nothing to play. */
  mixer: AnimationMixer | null = null;
  private readonly state: AssetState;
  private readonly base: Base;
  /** Whether anybody may see the asset. */
  private readonly seen: () => boolean;
  /** What `play` was asked for, and what is played of it. */
  private wanted: string | undefined;
  private playing: AnimationClip | null = null;
  private waiting: Waiting[] = [];

  constructor(state: AssetState, base: Base, seen: () => boolean) {
    this.state = state;
    this.base = base;
    this.seen = seen;
    const [first] = state.animationsToPlay ?? [];
    this.play(first);
  }

  get names(): string[] {
    return (this.state.manifest?.animations ?? this.base.animations).map(({ name }) => name);
  }

  play(name?: string): void {
    this.wanted = name;
    this.look();
  }

  animation(name: string): Promise<AnimationClip> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ name, resolve, reject });
      this.look();
    });
  }

  /** Takes in the keyframes of an animation. */
  async add(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const clip = await parseAnimation(this.base, exactBuffer(bytes));
    signal.throwIfAborted();
    this.base.animations.push(clip);
    this.look();
  }

  /** A file was given up: who waits for what is in it need not. */
  lack(download: Download, error: Error): void {
    const { kind } = download;
    if (kind === "manifest") this.refuse(error);
    if (kind === "animation") this.refuse(error, this.state.manifest?.animations[download.animation]?.name);
  }

  dispose(): void {
    this.mixer?.stopAllAction();
    this.mixer?.uncacheRoot(this.base.root);
    this.refuse(new DOMException("the asset was unloaded", "AbortError"));
  }

  /** Asks for the animations that are wanted, and plays and hands out those that are there. */
  look(): void {
    const { names } = this;
    const find = (name: string): AnimationClip | null => AnimationClip.findByName(this.base.animations, name);
    // Before the manifest, what the base lacks may be a file.
    const isMissing = (name: string): boolean => this.state.manifest !== null && !names.includes(name);
    this.waiting = this.waiting.filter(({ name, resolve }) => {
      const clip = find(name);
      if (clip) resolve(clip);
      return !clip;
    });
    for (const { name } of [...this.waiting]) {
      const gone = this.state.animations[names.indexOf(name)]?.retryAt === Number.POSITIVE_INFINITY;
      if (isMissing(name)) this.refuse(new Error(`${this.state.id} has no animation "${name}"`), name);
      else if (gone) this.refuse(new Error(`the keyframes of "${name}" cannot be had`), name);
    }
    const wanted = this.wanted || names[0];
    if (wanted === undefined) return;
    this.state.animationsToPlay = new Set([wanted, ...this.waiting.map(({ name }) => name)]);
    const clip = find(wanted);
    if (clip || isMissing(wanted)) this.perform(clip);
  }

  /** What nobody sees yet changes at once. */
  private perform(clip: AnimationClip | null): void {
    if (clip === this.playing) return;
    const seconds = this.seen() && clip ? EASE_S : 0;
    const before = this.playing && this.mixer?.clipAction(this.playing);
    if (seconds) before?.fadeOut(seconds);
    else before?.stop();
    this.playing = clip;
    if (!clip) return;
    this.mixer ??= new AnimationMixer(this.base.root);
    const action = this.mixer.clipAction(clip).reset().play();
    if (seconds) action.fadeIn(seconds);
  }

  /** Tells those who wait for an animation, or for any, that it does not come. */
  private refuse(error: Error, name?: string): void {
    const refused = this.waiting.filter((each) => name === undefined || each.name === name);
    this.waiting = this.waiting.filter((each) => !refused.includes(each));
    for (const { reject } of refused) reject(error);
  }
}
