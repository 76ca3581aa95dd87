// Talk to the server from TypeScript: open a scan, segment, print what was found.
//
//   npm install @modelcontextprotocol/client@2
//   node mcp_client.ts OSTENSOR SCAN_FOLDER SCAN [STRUCTURE ...]
//
// OSTENSOR is the command, e.g. .venv/bin/ostensor. Node 22.18 or newer runs TypeScript as it is.
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

type Mask = { structure: string; verdict: string; mask_id: string | null; volume_ml: number | null };
type Found = { masks: Mask[]; job_id: string | null };
type Job = { state: string; result: Found | null; error: string | null };
type Answer = { isError?: boolean; content: { type: string; text?: string }[]; structuredContent?: unknown };

const [command, folder, scan, ...rest] = process.argv.slice(2);
const structures = rest.length > 0 ? rest : ["liver", "spleen"];

const client = new Client(
  { name: "ostensor-example", version: "1.0.0" },
  { versionNegotiation: { mode: "auto" } }, // 2026-07-28 where the server speaks it, a handshake elsewhere
);
const transport = new StdioClientTransport({ command, args: ["serve", "--root", folder, "--store", `${folder}/store`] });

async function call<T>(name: string, args: Record<string, unknown>): Promise<T> {
  const answer = (await client.callTool({ name, arguments: args })) as Answer;
  const said = answer.content.map((part) => part.text ?? "").join(" ");
  console.log(`${name}: ${said}`);
  if (answer.isError) throw new Error(said);
  return answer.structuredContent as T;
}

await client.connect(transport);
try {
  const { tools } = await client.listTools();
  console.log("tools:", tools.map((tool) => tool.name).join(", "));
  const image = await call<{ image_id: string }>("open_image", { path: scan });
  let found = await call<Found>("segment", { image_id: image.image_id, structures, wait_s: 20 });
  while (found.job_id) {
    // It takes longer than wait_s: ask again until it is done.
    const job = await call<Job>("get_job", { job_id: found.job_id, wait_s: 30 });
    if (job.state === "done") found = { ...job.result!, job_id: null };
    else if (job.state !== "queued" && job.state !== "running") throw new Error(job.error ?? job.state);
  }
  for (const mask of found.masks) {
    console.log(`  ${mask.structure}: ${mask.verdict}, ${mask.volume_ml ?? "no"} ml, ${mask.mask_id ?? "no mask"}`);
  }
} finally {
  await client.close();
}
