/** The lab's command line: see `node lab.mjs --help`. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { generatedHeads, type HeadTrace, recordedHead } from "./head.ts";
import { generatedNetworks, type NetworkTrace, recordedNetwork } from "./network.ts";
import { planningTable } from "./planning.ts";
import { allPolicies } from "./policies.ts";
import { replay } from "./replay.ts";
import { html } from "./report.ts";
import { oneAsset, readBundle, room, type Scene } from "./scene.ts";
import { type Pair, summary } from "./summary.ts";

const HELP = `Replays head traces × network traces × policies on a bundle, in virtual time.

  --bundle FOLDER   what scripts/lab_bundle.py builds
  --traces FOLDER   head/*.json and network/*.json in it are run beside the generated traces
  --html FILE       writes a report with plots
  --json FILE       writes every number
  --only WORD       only what has the word in scene/head/network; may be repeated
  --planning        only how long the planner takes
  --policy WORD     only policies with the word in their name; may be repeated
`;

const { values } = parseArgs({
  options: {
    bundle: { type: "string" },
    traces: { type: "string" },
    html: { type: "string" },
    json: { type: "string" },
    only: { type: "string", multiple: true, default: [] },
    policy: { type: "string", multiple: true, default: [] },
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
  const scenes = [oneAsset(bundle, "sculpture"), room(bundle)];
  const networks = [...generatedNetworks(), ...(await recorded(values.traces, "network", recordedNetwork))];
  const heads = await recorded(values.traces, "head", recordedHead);
  const policies = allPolicies().filter(({ name }) => matches(name, values.policy));
  const pairs: Pair[] = [];
  for (const scene of scenes) {
    for (const head of [...generatedHeads(scene.stand), ...heads]) {
      for (const network of networks) {
        const name = `${scene.name}/${head.name}/${network.name}`;
        if (values.only.every((word) => name.includes(word))) pairs.push(run(scene, head, network));
      }
    }
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
      results: policies.map((policy) => ({
        policy: policy.name,
        family: policy.family,
        outcome: replay(scene, head, network, policy),
      })),
    };
  }
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
