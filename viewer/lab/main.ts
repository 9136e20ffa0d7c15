/** The lab's command line: see `node lab.mjs --help`. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import type { RenderCost } from "../src/core/render-budget.ts";
import { errorLowerBound } from "./bound.ts";
import { generatedHeads, type HeadTrace, recordedHead } from "./head.ts";
import { generatedNetworks, type NetworkTrace, recordedNetwork } from "./network.ts";
import { planningTable } from "./planning.ts";
import { allPolicies, type Policy, UNLIMITED } from "./policies.ts";
import { replay } from "./replay.ts";
import { html } from "./report.ts";
import { type Bundle, oneAsset, readBundle, room, type Scene, tracedScene } from "./scene.ts";
import { type Pair, summary } from "./summary.ts";

const HELP = `Replays head traces × network traces × policies on a bundle, in virtual time.

  FILE …            replay these traces instead of the generated ones: files of the viewer's inspector, with the
                    assets, the head and the network of a session
  --bundle FOLDER   a bundle that scripts/lab_bundle.py has built; required
  --traces FOLDER   replay the traces in FOLDER/head/*.json and FOLDER/network/*.json, too
  --html FILE       write a report with plots
  --json FILE       write all numbers
  --only WORD       replay only pairs with WORD in scene/head/network; if repeated, with every WORD
  --policy WORD     replay only policies with WORD in their name; if repeated, with any WORD
  --triangles N     limit the triangles of a frame, under every policy
  --draw-calls N    limit the draw calls of a frame, under every policy
  --bound           also compute a lower bound on the visible error of any policy; slow
  --planning        only measure the planner's time
  --help            print this text
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

if (values.help || !values.bundle) console.info(HELP);
else if (values.planning) console.info(planningTable(await readBundle(values.bundle)));
else await replayAll(await readBundle(values.bundle));

async function replayAll(bundle: Bundle): Promise<void> {
  const policies = allPolicies().filter(({ name }) => matches(name, values.policy));
  const budget = budgetOf(values.triangles, values["draw-calls"]);
  const sessions = positionals.length > 0 ? await savedSessions(bundle) : await generatedSessions(bundle);
  const pairs: Pair[] = [];
  for (const session of sessions) {
    const name = session.map((part) => part.name).join("/");
    if (values.only.every((word) => name.includes(word)))
      pairs.push(replaySession(session, policies, budget));
  }
  console.info(summary(pairs));
  if (values.html) await writeFile(values.html, html(pairs));
  if (values.json) await writeFile(values.json, JSON.stringify(pairs));
}

function replaySession(
  [scene, head, network]: Session,
  policies: readonly Policy[],
  budget: RenderCost,
): Pair {
  return {
    scene: scene.name,
    head: head.name,
    network: network.name,
    megabits: network.megabits,
    ...(values.bound ? { errorLowerBound: errorLowerBound(scene, head, network) } : {}),
    results: policies.map((policy) => ({
      policy: policy.name,
      family: policy.family,
      outcome: replay(scene, head, network, policy, budget),
    })),
  };
}

/** @throws Error if an option is not a positive number */
function budgetOf(triangles: string | undefined, drawCalls: string | undefined): RenderCost {
  if (triangles === undefined && drawCalls === undefined) return UNLIMITED;
  const budget = {
    triangles: Number(triangles ?? UNLIMITED.triangles),
    drawCalls: Number(drawCalls ?? UNLIMITED.drawCalls),
  };
  if (!(budget.triangles > 0 && budget.drawCalls > 0)) {
    throw new Error("--triangles and --draw-calls must be positive numbers");
  }
  return budget;
}

type Session = readonly [Scene, HeadTrace, NetworkTrace];

/** Every head with every network, in every scene. */
async function generatedSessions(bundle: Bundle): Promise<Session[]> {
  const networks = [
    ...generatedNetworks(),
    ...(await recordedTraces(values.traces, "network", recordedNetwork)),
  ];
  const heads = await recordedTraces(values.traces, "head", recordedHead);
  return [oneAsset(bundle, "sculpture"), room(bundle)].flatMap((scene) =>
    [...generatedHeads(scene.standpoint), ...heads].flatMap((head) =>
      networks.map((network): Session => [scene, head, network]),
    ),
  );
}

/** The sessions in the files on the command line, one each. */
async function savedSessions(bundle: Bundle): Promise<Session[]> {
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

async function recordedTraces<T>(
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
