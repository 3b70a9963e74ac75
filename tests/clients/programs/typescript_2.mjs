// The TypeScript SDK 2.x as a client.

import { Client, ProtocolError, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { answers, capabilities, converse, headers, plan, seen, url, watchedFetch } from "./scenario.mjs";

const modes = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };
const client = new Client(
  { name: "typescript-2", version: "1" },
  { capabilities, versionNegotiation: { mode: modes[plan.era] } },
);
client.setRequestHandler("elicitation/create", answers.elicitation);
client.setRequestHandler("sampling/createMessage", answers.sampling);
client.setRequestHandler("roots/list", answers.roots);
client.setNotificationHandler("notifications/message", (message) => {
  seen.log.push(message.params);
});
client.setNotificationHandler("notifications/tools/list_changed", () => seen.toolsChanged.set());

const transport = new StreamableHTTPClientTransport(url, {
  fetch: watchedFetch,
  requestInit: { headers },
});
const fresh = { cacheMode: "bypass" };

await converse({
  connect: () => client.connect(transport),
  speak: () => ({
    greeting: () => ({
      version: client.getNegotiatedProtocolVersion(),
      server: client.getServerVersion(),
      capabilities: client.getServerCapabilities(),
      instructions: client.getInstructions(),
    }),
    page: (kind, cursor) => {
      const lists = {
        tools: "listTools",
        prompts: "listPrompts",
        resources: "listResources",
        templates: "listResourceTemplates",
      };
      return client[lists[kind]](cursor === undefined ? undefined : { cursor }, fresh);
    },
    call: (params, options) => client.callTool(params, options),
    prompt: (params) => client.getPrompt(params),
    read: (params) => client.readResource(params, fresh),
    complete: (params) => client.complete(params),
    ping: () => client.ping(),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: (params) => client.subscribeResource(params),
    unsubscribe: (params) => client.unsubscribeResource(params),
    listen: (filter) => client.listen(filter),
  }),
  isProtocolError: (error) => error instanceof ProtocolError,
  close: async () => {
    if (seen.sessionId !== null) await transport.terminateSession();
    await client.close();
  },
});
