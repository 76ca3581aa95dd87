// A chat host without a chat: the official host bridge between a server (URL, tool and arguments on the command line)
// and a view. The view's messages come as lines on standard input and go out as lines on standard output.
import { createInterface } from "node:readline";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge } from "@modelcontextprotocol/ext-apps/app-bridge";

const [url, tool, args] = process.argv.slice(2);
const out = (kind, value) => process.stdout.write(`${JSON.stringify({ kind, value })}\n`);

const client = new Client(
  { name: "test-host", version: "1" },
  { capabilities: { extensions: { "io.modelcontextprotocol/ui": { mimeTypes: ["text/html;profile=mcp-app"] } } } },
);
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const listed = (await client.listTools()).tools;
const uri = listed.find((one) => one.name === tool)._meta.ui.resourceUri;
out("hidden", listed.filter((one) => one._meta?.ui?.visibility?.includes("model") === false).map((one) => one.name));
const page = (await client.readResource({ uri })).contents[0];
out("page", page);

const transport = {
  start: async () => {},
  close: async () => transport.onclose?.(),
  send: async (message) => out("to-view", message),
};
const bridge = new AppBridge(client, { name: "test-host", version: "1" },
  { serverTools: {}, serverResources: {}, updateModelContext: { text: {}, structuredContent: {} } });
bridge.onupdatemodelcontext = async (params) => { out("model", params); return {}; };
bridge.onsizechange = (params) => out("size", params);
bridge.oninitialized = async () => {
  const call = { name: tool, arguments: JSON.parse(args) };
  bridge.sendToolInput({ arguments: call.arguments });
  bridge.sendToolResult(await client.callTool(call));
};
await bridge.connect(transport);

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "teardown") bridge.teardownResource({}).then((answer) => out("torn-down", answer));
  else transport.onmessage?.(JSON.parse(line));
}
await client.close();
process.exit(0);
