// The TypeScript SDK 1.x as a client.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  McpError,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

import { answers, capabilities, converse, headers, seen, url, watchedFetch } from "./scenario.mjs";

const client = new Client({ name: "typescript-1", version: "1" }, { capabilities });
client.setRequestHandler(ElicitRequestSchema, answers.elicitation);
client.setRequestHandler(CreateMessageRequestSchema, answers.sampling);
client.setRequestHandler(ListRootsRequestSchema, answers.roots);
client.setNotificationHandler(LoggingMessageNotificationSchema, (message) => {
  seen.log.push(message.params);
});
client.setNotificationHandler(ToolListChangedNotificationSchema, () => seen.toolsChanged.set());

const transport = new StreamableHTTPClientTransport(url, {
  fetch: watchedFetch,
  requestInit: { headers },
});

await converse({
  connect: () => client.connect(transport),
  speak: () => ({
    greeting: () => ({
      version: transport.protocolVersion,
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
      return client[lists[kind]](cursor === undefined ? undefined : { cursor });
    },
    call: (params, options) => client.callTool(params, undefined, options),
    prompt: (params) => client.getPrompt(params),
    read: (params) => client.readResource(params),
    complete: (params) => client.complete(params),
    ping: () => client.ping(),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: (params) => client.subscribeResource(params),
    unsubscribe: (params) => client.unsubscribeResource(params),
  }),
  isProtocolError: (error) => error instanceof McpError,
  close: async () => {
    await transport.terminateSession();
    await client.close();
  },
});
