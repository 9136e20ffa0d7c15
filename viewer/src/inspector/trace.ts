import type { AssetFile, AssetState, Download } from "../core/asset.ts";
import type { Candidate } from "../core/choices.ts";
import type { Quaternion, Vec3 } from "../core/gaze.ts";
import type { Plan } from "../core/scheduler.ts";
import type { StreamXR } from "../index.ts";

/** Milliseconds between two samples: the planning interval of the core. */
const STEP_MS = 50;
/** Length of a network sample, milliseconds: shorter ones would show only the chunks of response bodies. */
const WINDOW_MS = 500;
/** Entries of each kind: more than half an hour of poses. The oldest are dropped. */
const MAX_ENTRIES = 40_000;

const BYTES_PER_MEGABIT_MS = 125;

/** One plan that started, aborted or evicted a file. */
export interface PlanEntry {
  readonly ms: number;
  readonly bytesPerSecond: number;
  readonly start: readonly { key: string; bytes: number; gain: number; score: number }[];
  readonly abort: readonly string[];
  readonly evict: readonly string[];
}

/** A file that can be drawn, or has failed. */
export interface ArrivalEntry {
  readonly ms: number;
  readonly key: string;
  readonly bytes: number;
  readonly stage: "ready" | "failed";
}

/**
 * The saved recording of a session. The lab replays `head` and `network`; `plans` and `arrivals` are their
 * results in the session. Times are milliseconds since the recording began.
 */
export interface TraceFile {
  readonly format: "streamxr/trace";
  readonly version: 1;
  /** Assets with their manifests and world matrices (column-major). */
  readonly assets: readonly { readonly id: string; readonly manifest: string; readonly world: number[] }[];
  readonly head: {
    readonly format: "streamxr/head";
    /** [ms, x, y, z, qx, qy, qz, qw], plus [gx, gy, gz] in world space if the eyes were tracked. */
    readonly samples: readonly (readonly number[])[];
  };
  readonly network: {
    readonly format: "streamxr/network";
    readonly rttMs: number;
    /** [ms, Mbit/s]: the received rate if a body streamed during the whole sample, else the estimate. */
    readonly samples: readonly (readonly [number, number])[];
  };
  readonly plans: readonly PlanEntry[];
  readonly arrivals: readonly ArrivalEntry[];
}

/** Records a session from its construction on. */
export class Trace {
  /** The candidate of the plan that started each file in flight. */
  readonly candidates = new Map<Download, Candidate>();
  readonly #streamxr: StreamXR;
  readonly #startedAt: number;
  readonly #head: number[][] = [];
  readonly #network: [number, number][] = [];
  readonly #plans: PlanEntry[] = [];
  readonly #arrivals: ArrivalEntry[] = [];
  readonly #loadStates = new WeakMap<AssetFile, AssetFile["loadState"]>();
  #sampledAt = Number.NEGATIVE_INFINITY;
  #window: { readonly since: number; readonly bytes: number; idle: boolean } | null = null;

  /** @param startedAt time zero of the recording, milliseconds */
  constructor(streamxr: StreamXR, startedAt: number) {
    this.#streamxr = streamxr;
    this.#startedAt = startedAt;
    streamxr.session.streamer.onPlan = (plan, now) => this.#recordPlan(plan, now);
  }

  /** Call once per frame. `now` in milliseconds. */
  record(now: number): void {
    if (now - this.#sampledAt < STEP_MS) return;
    this.#sampledAt = now;
    const ms = round(now - this.#startedAt);
    const { streamer } = this.#streamxr.session;
    this.#recordHead(ms);
    this.#recordNetwork(now);
    for (const asset of streamer.assets) for (const file of asset.files) this.#recordFile(file, ms);
  }

  /** The recording so far, for JSON. */
  file(): TraceFile {
    const { session } = this.#streamxr;
    return {
      format: "streamxr/trace",
      version: 1,
      assets: session.streamer.assets.map(({ id, entry, world }) => ({
        id,
        manifest: entry.manifest.uri,
        world: Array.from({ length: 16 }, (_, i) => world[i] ?? 0),
      })),
      head: { format: "streamxr/head", samples: this.#head },
      network: {
        format: "streamxr/network",
        rttMs: round(session.bandwidth.estimate(performance.now()).ttfbMs),
        samples: this.#network,
      },
      plans: this.#plans,
      arrivals: this.#arrivals,
    };
  }

  #recordPlan(plan: Plan, now: number): void {
    for (const candidate of plan.start) this.candidates.set(candidate.download, candidate);
    for (const download of [...plan.abort, ...plan.evict]) this.candidates.delete(download);
    const { start, abort, evict } = plan;
    if (start.length + abort.length + evict.length === 0) return;
    push(this.#plans, {
      ms: round(now - this.#startedAt),
      bytesPerSecond: Math.round(this.#streamxr.session.bandwidth.estimate(now).bytesPerSecond),
      start: start.map(({ download: { key, bytes }, gain, score }) => ({ key, bytes, gain, score })),
      abort: abort.map(({ key }) => key),
      evict: evict.map(({ key }) => key),
    });
  }

  #recordHead(ms: number): void {
    const { pose, gaze } = this.#streamxr.view;
    if (!pose) return;
    const sample = [ms, ...rounded(pose.position), ...rounded(pose.orientation)];
    if (gaze?.source === "eye") sample.push(...rounded(gaze.direction));
    push(this.#head, sample);
  }

  #recordNetwork(now: number): void {
    const { bandwidth, streamer } = this.#streamxr.session;
    const streaming = streamer.loading.some(({ received }) => received > 0);
    this.#window ??= { since: now, bytes: bandwidth.totalBytes, idle: !streaming };
    this.#window.idle ||= !streaming;
    const elapsed = now - this.#window.since;
    if (elapsed < WINDOW_MS) return;
    const perMs = this.#window.idle
      ? bandwidth.estimate(now).bytesPerSecond / 1000
      : (bandwidth.totalBytes - this.#window.bytes) / elapsed;
    const since = this.#network.length === 0 ? 0 : round(this.#window.since - this.#startedAt);
    push(this.#network, [since, round(perMs / BYTES_PER_MEGABIT_MS)]);
    this.#window = { since: now, bytes: bandwidth.totalBytes, idle: !streaming };
  }

  #recordFile(file: AssetFile, ms: number): void {
    const { loadState, download } = file;
    const before = this.#loadStates.get(file);
    if (before === loadState) return;
    this.#loadStates.set(file, loadState);
    if (loadState !== "loading" && loadState !== "preparing") this.candidates.delete(download);
    // A file that was ready when the recording began did not arrive during it.
    if (before === undefined || (loadState !== "ready" && loadState !== "failed")) return;
    push(this.#arrivals, { ms, key: download.key, bytes: download.bytes, stage: loadState });
  }
}

/** Name of a file for people: its asset and its content. */
export function nameOf(download: Download): string {
  const { asset, kind } = download;
  if (kind === "texture") {
    const size = widthOf(asset, download.texture, download.level);
    return `${asset.id} · picture ${download.texture}${size ? ` at ${size}` : ""}`;
  }
  if (kind === "animation") {
    return `${asset.id} · animation ${asset.manifest?.animations[download.animation]?.name ?? "?"}`;
  }
  if (kind !== "refinement") return `${asset.id} · ${kind}`;
  const regions = asset.manifest?.trees[download.tree]?.regions;
  const tier = regions?.[regions[download.region]?.children[0] ?? -1]?.tier;
  return `${asset.id} · tier ${tier ?? "?"}, region ${download.tree}.${download.region}`;
}

function widthOf(asset: AssetState, texture: number, level: number): number | undefined {
  return asset.manifest?.textures[texture]?.levels[level]?.width;
}

function push<T>(entries: T[], entry: T): void {
  entries.push(entry);
  if (entries.length > MAX_ENTRIES) entries.shift();
}

/** Four decimals: 0.1 mm, or about 0.01°. */
function rounded(values: Vec3 | Quaternion): number[] {
  return values.map((value) => Math.round(value * 1e4) / 1e4);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
