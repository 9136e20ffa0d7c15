import type { AssetFile, AssetState, Download } from "../core/asset.ts";
import type { Candidate } from "../core/choices.ts";
import type { Quaternion, Vec3 } from "../core/gaze.ts";
import type { Plan } from "../core/scheduler.ts";
import type { StreamXR } from "../index.ts";

/** Milliseconds between two looks at the head and the network: as often as the core plans. */
const STEP_MS = 50;
/** Milliseconds of a network sample: shorter ones show how bodies are cut into chunks. */
const WINDOW_MS = 500;
/** Entries kept of each kind: over half an hour of poses. The oldest are dropped. */
const KEPT = 40_000;

const BYTES_PER_MEGABIT_MS = 125;

/** One decision of the planner, when it decided anything. */
export interface PlanEntry {
  readonly ms: number;
  readonly bytesPerSecond: number;
  readonly start: readonly { key: string; bytes: number; gain: number; score: number }[];
  readonly abort: readonly string[];
  readonly evict: readonly string[];
}

/** A file that has come to be drawn, or was given up. */
export interface ArrivalEntry {
  readonly ms: number;
  readonly key: string;
  readonly bytes: number;
  readonly stage: "ready" | "failed";
}

/**
 * What a session did, as it is saved. `head` and `network` are what the lab replays; `plans` and `arrivals` are what
 * came of them here. Times are milliseconds since the recording began.
 */
export interface TraceFile {
  readonly format: "streamxr/trace";
  readonly version: 1;
  /** Assets with their manifests, and where they stood: column-major. */
  readonly assets: readonly { readonly id: string; readonly manifest: string; readonly world: number[] }[];
  readonly head: {
    readonly format: "streamxr/head";
    /** [ms, x, y, z, qx, qy, qz, qw], and where eyes were tracked also [gx, gy, gz], in world space. */
    readonly samples: readonly (readonly number[])[];
  };
  readonly network: {
    readonly format: "streamxr/network";
    readonly rttMs: number;
    /** [ms, Mbit/s]: what arrived where bodies streamed throughout, else what was estimated. */
    readonly samples: readonly (readonly [number, number])[];
  };
  readonly plans: readonly PlanEntry[];
  readonly arrivals: readonly ArrivalEntry[];
}

/** Notes what the streamer does, frame by frame, from when it is made. */
export class Trace {
  /** Why each file that is on its way was asked for. */
  readonly wishes = new Map<Download, Candidate>();
  private readonly head: number[][] = [];
  private readonly network: [number, number][] = [];
  private readonly plans: PlanEntry[] = [];
  private readonly arrivals: ArrivalEntry[] = [];
  private readonly stages = new WeakMap<AssetFile, AssetFile["loadState"]>();
  private lastStep = Number.NEGATIVE_INFINITY;
  private window: { readonly since: number; readonly bytes: number; idle: boolean } | null = null;

  constructor(
    private readonly streamxr: StreamXR,
    private readonly began: number,
  ) {
    streamxr.session.streamer.onPlan = (plan, now) => this.notePlan(plan, now);
  }

  /** Milliseconds recorded so far. */
  get length(): number {
    return Math.max(0, (this.head.at(-1)?.[0] ?? 0) - (this.head[0]?.[0] ?? 0));
  }

  /** Call once per frame. `now` in milliseconds. */
  note(now: number): void {
    const ms = round(now - this.began);
    const { streamer } = this.streamxr.session;
    if (now - this.lastStep < STEP_MS) return;
    this.lastStep = now;
    this.noteHead(ms);
    this.noteNetwork(now);
    for (const asset of streamer.assets) for (const file of asset.files) this.noteFile(file, ms);
  }

  /** What was recorded, ready for JSON. */
  file(): TraceFile {
    const { session } = this.streamxr;
    return {
      format: "streamxr/trace",
      version: 1,
      assets: session.streamer.assets.map(({ id, entry, world }) => ({
        id,
        manifest: entry.manifest.uri,
        world: Array.from({ length: 16 }, (_, i) => world[i] ?? 0),
      })),
      head: { format: "streamxr/head", samples: this.head },
      network: {
        format: "streamxr/network",
        rttMs: round(session.bandwidth.estimate(performance.now()).ttfbMs),
        samples: this.network,
      },
      plans: this.plans,
      arrivals: this.arrivals,
    };
  }

  private notePlan(plan: Plan, now: number): void {
    for (const wish of plan.start) this.wishes.set(wish.download, wish);
    for (const download of [...plan.abort, ...plan.evict]) this.wishes.delete(download);
    const { start, abort, evict } = plan;
    if (start.length + abort.length + evict.length === 0) return;
    push(this.plans, {
      ms: round(now - this.began),
      bytesPerSecond: Math.round(this.streamxr.session.bandwidth.estimate(now).bytesPerSecond),
      start: start.map(({ download: { key, bytes }, gain, score }) => ({ key, bytes, gain, score })),
      abort: abort.map(({ key }) => key),
      evict: evict.map(({ key }) => key),
    });
  }

  private noteHead(ms: number): void {
    const { pose, gaze } = this.streamxr.view;
    if (!pose) return;
    const sample = [ms, ...metres(pose.position), ...metres(pose.orientation)];
    if (gaze?.source === "eye") sample.push(...metres(gaze.direction));
    push(this.head, sample);
  }

  private noteNetwork(now: number): void {
    const { bandwidth, streamer } = this.streamxr.session;
    const streaming = streamer.loading.some(({ received }) => received > 0);
    this.window ??= { since: now, bytes: bandwidth.totalBytes, idle: !streaming };
    this.window.idle ||= !streaming;
    const elapsed = now - this.window.since;
    if (elapsed < WINDOW_MS) return;
    const perMs = this.window.idle
      ? bandwidth.estimate(now).bytesPerSecond / 1000
      : (bandwidth.totalBytes - this.window.bytes) / elapsed;
    const since = this.network.length === 0 ? 0 : round(this.window.since - this.began);
    push(this.network, [since, round(perMs / BYTES_PER_MEGABIT_MS)]);
    this.window = { since: now, bytes: bandwidth.totalBytes, idle: !streaming };
  }

  private noteFile(file: AssetFile, ms: number): void {
    const { loadState, download } = file;
    const before = this.stages.get(file);
    if (before === loadState) return;
    this.stages.set(file, loadState);
    if (loadState !== "loading" && loadState !== "preparing") this.wishes.delete(download);
    // What was there when the recording began did not arrive in it.
    if (before === undefined || (loadState !== "ready" && loadState !== "failed")) return;
    push(this.arrivals, { ms, key: download.key, bytes: download.bytes, stage: loadState });
  }
}

/** Name of a file for people: its asset, and what of it. */
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
  if (entries.length > KEPT) entries.shift();
}

/** Tenths of a millimetre, and of a millidegree about. */
function metres(values: Vec3 | Quaternion): number[] {
  return values.map((value) => Math.round(value * 1e4) / 1e4);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
