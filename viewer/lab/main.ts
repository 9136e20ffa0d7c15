/** The lab's command line: see `node lab.mjs --help`. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import type { RenderCost } from "../src/core/render-budget.ts";
import { leastError } from "./bound.ts";
import { generatedHeads, type HeadTrace, recordedHead } from "./head.ts";
import { generatedNetworks, type NetworkTrace, recordedNetwork } from "./network.ts";
import { planningTable } from "./planning.ts";
import { allPolicies, EVERYTHING } from "./policies.ts";
import { replay } from "./replay.ts";
import { html } from "./report.ts";
import { type Bundle, oneAsset, readBundle, room, type Scene, tracedScene } from "./scene.ts";
import { type Pair, summary } from "./summary.ts";

const HELP = `Replays head traces × network traces × policies on a bundle, in virtual time.

  FILE …            instead of the scenes and traces here, traces that the viewer's inspector saved: what was shown,
                    how the head moved and what the network gave
  --bundle FOLDER   what scripts/lab_bundle.py builds
  --traces FOLDER   head/*.json and network/*.json in it are run beside the generated traces
  --html FILE       writes a report with plots
  --json FILE       writes every number
  --only WORD       only what has the word in scene/head/network; may be repeated
  --triangles N     what a frame draws at most, under every policy; so, too, --draw-calls N
  --bound           also what no choice of files could get below: slow
  --planning        only how long the planner takes
  --policy WORD     only policies with the word in their name; may be repeated
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bundle: { type: "string" },
    traces: { type: "string" },
    html: { type: "string" },
    json: { type: "string" },
    only: { type: "string", multiple: true, default: [] },
    policy: { type: "string", multiple: true, default: [] },
    triangles: { type: "string" },
    "draw-calls": { type: "string" },
    bound: { type: "boolean", default: false },
    planning: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help || !values.bundle) {
  console.info(HELP);
} else if (values.planning) {
  console.info(planningTable(await readBundle(values.bundle)));
} else {
  const bundle = await readBundle(values.bundle);
  const policies = allPolicies().filter(({ name }) => matches(name, values.policy));
  const budget = budgetOf(values.triangles, values["draw-calls"]);
  const pairs: Pair[] = [];
  for (const [scene, head, network] of positionals.length > 0
    ? await saved(bundle)
    : await generated(bundle)) {
    const name = `${scene.name}/${head.name}/${network.name}`;
    if (values.only.every((word) => name.includes(word))) pairs.push(run(scene, head, network));
  }
  console.info(summary(pairs));
  if (values.html) await writeFile(values.html, html(pairs));
  if (values.json) await writeFile(values.json, JSON.stringify(pairs));

  function run(scene: Scene, head: HeadTrace, network: NetworkTrace): Pair {
    return {
      scene: scene.name,
      head: head.name,
      network: network.name,
      megabits: network.megabits,
      ...(values.bound ? { least: leastError(scene, head, network) } : {}),
      results: policies.map((policy) => ({
        policy: policy.name,
        family: policy.family,
        outcome: replay(scene, head, network, policy, budget),
      })),
    };
  }
}

function budgetOf(triangles: string | undefined, drawCalls: string | undefined): RenderCost {
  if (triangles === undefined && drawCalls === undefined) return EVERYTHING;
  const budget = {
    triangles: Number(triangles ?? EVERYTHING.triangles),
    drawCalls: Number(drawCalls ?? EVERYTHING.drawCalls),
  };
  if (!(budget.triangles > 0 && budget.drawCalls > 0))
    throw new Error("--triangles and --draw-calls are numbers");
  return budget;
}

type Session = readonly [Scene, HeadTrace, NetworkTrace];

/** Every head and every network, in every scene. */
async function generated(bundle: Bundle): Promise<Session[]> {
  const networks = [...generatedNetworks(), ...(await recorded(values.traces, "network", recordedNetwork))];
  const heads = await recorded(values.traces, "head", recordedHead);
  return [oneAsset(bundle, "sculpture"), room(bundle)].flatMap((scene) =>
    [...generatedHeads(scene.stand), ...heads].flatMap((head) =>
      networks.map((network): Session => [scene, head, network]),
    ),
  );
}

/** The sessions that inspectors have saved, one each. */
async function saved(bundle: Bundle): Promise<Session[]> {
  return Promise.all(
    positionals.map(async (file): Promise<Session> => {
      const name = basename(file, ".json");
      const json: unknown = JSON.parse(await readFile(file, "utf8"));
      return [tracedScene(bundle, name, json), recordedHead(name, json), recordedNetwork(name, json)];
    }),
  );
}

function matches(name: string, words: readonly string[]): boolean {
  return words.length === 0 || words.some((word) => name.includes(word));
}

async function recorded<T>(
  folder: string | undefined,
  kind: string,
  read: (name: string, json: unknown) => T,
): Promise<T[]> {
  if (!folder) return [];
  const names = (await readdir(join(folder, kind)).catch(() => [])).filter((name) => name.endsWith(".json"));
  return Promise.all(
    names
      .sort()
      .map(async (name) =>
        read(basename(name, ".json"), JSON.parse(await readFile(join(folder, kind, name), "utf8"))),
      ),
  );
}
