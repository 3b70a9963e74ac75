// What a TypeScript client does with a server, step by step; each step prints one line of JSON.

const LOG_LEVEL = "io.modelcontextprotocol/logLevel";
const STEP_LIMIT = 20_000;
const MAX_PAGES = 50;
const LISTED = {
  tools: "tools",
  prompts: "prompts",
  resources: "resources",
  templates: "resourceTemplates",
};

export const plan = JSON.parse(process.env.CLIENT_PLAN);
export const url = new URL(plan.url);
export const headers = plan.token === null ? {} : { authorization: `Bearer ${plan.token}` };
export const capabilities = { elicitation: {}, sampling: {}, roots: {} };

function event() {
  let set;
  const waited = new Promise((resolve) => {
    set = resolve;
  });
  return { set, wait: () => waited };
}

// What reached the client besides the answers to what it asked.
export const seen = {
  log: [],
  asked: [],
  sessionId: null,
  refusedWith: null,
  isListening: event(),
  toolsChanged: event(),
};

export async function watchedFetch(target, init) {
  const response = await fetch(target, init);
  seen.sessionId = response.headers.get("mcp-session-id") ?? seen.sessionId;
  if ([401, 403].includes(response.status)) seen.refusedWith = response.status;
  if (init?.method === "GET" && response.status === 200) seen.isListening.set();
  return response;
}

function filled(schema) {
  const values = { string: "Ada", boolean: true, integer: 7, number: 1.5 };
  return Object.fromEntries(
    Object.entries(schema.properties).map(([name, field]) => [name, values[field.type]]),
  );
}

export const answers = {
  elicitation(request) {
    seen.asked.push(request.params);
    return { action: "accept", content: filled(request.params.requestedSchema) };
  },
  sampling(request) {
    seen.asked.push(request.params);
    return { role: "assistant", content: { type: "text", text: "Paris" }, model: "none" };
  },
  roots() {
    return { roots: [{ uri: "file:///home/ada", name: "work" }] };
  },
};

export function say(step, outcome) {
  process.stdout.write(`${JSON.stringify({ step, ...outcome })}\n`);
}

// The status of HTTP with which the client was refused for its token, if it was.
function refusal() {
  return seen.refusedWith === null ? {} : { status: seen.refusedWith };
}

export function failure(error) {
  const cause = error?.cause ? ` (${error.cause.message ?? error.cause})` : "";
  return `${error?.constructor?.name}: ${error?.message}${cause}`;
}

async function bounded(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the step took too long")), STEP_LIMIT);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

// Take the wanted steps that there are, in the order in which they are wanted.
async function take(steps, isProtocolError) {
  for (const name of plan.steps) {
    if (!(name in steps)) continue;
    seen.log.length = 0;
    seen.asked.length = 0;
    try {
      say(name, { saw: await bounded(steps[name]()) });
    } catch (error) {
      if (isProtocolError(error)) {
        const { code, message, data } = error;
        say(name, {
          error: { code, message, ...(data === undefined ? {} : { data }) },
          ...refusal(),
        });
      } else {
        say(name, { failed: failure(error), ...refusal() });
      }
    }
  }
}

function stepsOf(speaker) {
  const { names } = plan;
  const call = (name, args = {}) => async () => {
    const result = await speaker.call({ name, arguments: args });
    return { result, asked: [...seen.asked], log: [...seen.log] };
  };
  const listing = (kind) => async () => {
    const pages = [];
    let cursor;
    do {
      const { nextCursor, ...page } = await speaker.page(kind, cursor);
      pages.push(page);
      cursor = nextCursor;
    } while (cursor !== undefined && pages.length < MAX_PAGES);
    const entries = pages.flatMap((page) => page[LISTED[kind]]);
    for (const page of pages) delete page[LISTED[kind]];
    return { entries, pages };
  };
  const listening = (...uris) => async () => {
    const subscription = await speaker.listen({ resourceSubscriptions: uris });
    await subscription.close();
    return { honored: subscription.honoredFilter };
  };
  const word = { value: "par" };
  const prompt = (name, args) => () => speaker.prompt({ name, arguments: args });
  const read = (uri) => () => speaker.read({ uri });
  return {
    connect: async () => speaker.greeting(),
    "list tools": listing("tools"),
    "list prompts": listing("prompts"),
    "list resources": listing("resources"),
    "list templates": listing("templates"),
    "call a tool": call(names["tool"]),
    "call a hidden tool": call(names["hidden tool"]),
    "call a missing tool": call(names["missing tool"]),
    "call again": call(names["tool"]),
    "get a prompt": prompt(names["prompt"], { arg1: "one", arg2: "zwölf" }),
    "get a hidden prompt": prompt(names["hidden prompt"]),
    "get a missing prompt": prompt(names["missing prompt"]),
    "read a resource": read(names["resource"]),
    "read through a template": read(names["instance"]),
    "read a hidden resource": read(names["hidden resource"]),
    "read a missing resource": read(names["missing resource"]),
    "complete a prompt": () =>
      speaker.complete({
        ref: { type: "ref/prompt", name: names["prompt"] },
        argument: { name: "arg1", ...word },
      }),
    "complete a template": () =>
      speaker.complete({
        ref: { type: "ref/resource", uri: names["template"] },
        argument: { name: "id", ...word },
      }),
    "complete a hidden prompt": () =>
      speaker.complete({
        ref: { type: "ref/prompt", name: names["hidden prompt"] },
        argument: { name: "arg1", ...word },
      }),
    progress: async () => {
      const steps = [];
      const onprogress = (progress) => steps.push(progress);
      const result = await speaker.call({ name: "test_tool_with_progress" }, { onprogress });
      return { result, steps };
    },
    "log lines by request": async () => {
      const result = await speaker.call({
        name: "test_tool_with_logging",
        _meta: { [LOG_LEVEL]: "info" },
      });
      return { result, log: [...seen.log] };
    },
    "log lines by session": async () => {
      await speaker.setLevel("info");
      const result = await speaker.call({ name: "test_tool_with_logging" });
      return { result, log: [...seen.log] };
    },
    elicitation: call("test_elicitation", { message: "Who?" }),
    sampling: call("test_sampling", { prompt: "What?" }),
    ping: () => speaker.ping(),
    subscribe: () => speaker.subscribe({ uri: names["resource"] }),
    unsubscribe: () => speaker.unsubscribe({ uri: names["resource"] }),
    "subscribe to a hidden resource": () => speaker.subscribe({ uri: names["hidden resource"] }),
    "list changed": async () => {
      await seen.isListening.wait();
      const result = await speaker.call({ name: "test_trigger_tool_change" });
      await seen.toolsChanged.wait();
      return result;
    },
    "resume a stream": call("test_reconnection"),
    "input: elicitation": call("test_input_required_result_elicitation"),
    "input: sampling": call("test_input_required_result_sampling"),
    "input: roots": call("test_input_required_result_list_roots"),
    "input: three at once": call("test_input_required_result_multiple_inputs"),
    "input: two rounds": call("test_input_required_result_multi_round"),
    "input: sealed state": call("test_input_required_result_request_state"),
    "input: a prompt asks": prompt("test_input_required_result_prompt"),
    "listen to the list of tools": async () => {
      const subscription = await speaker.listen({ toolsListChanged: true });
      await speaker.call({ name: "test_trigger_tool_change" });
      await seen.toolsChanged.wait();
      await subscription.close();
      return { honored: subscription.honoredFilter };
    },
    "listen to a resource": listening(names["resource"]),
    "listen to a hidden resource": listening(names["resource"], names["hidden resource"]),
  };
}

// Connect, take the steps, close, and look whether the session is gone.
export async function converse({ connect, speak, isProtocolError, close }) {
  try {
    await bounded(connect());
  } catch (error) {
    say("connect", { failed: failure(error), ...refusal() });
    return;
  }
  await take(stepsOf(speak()), isProtocolError);
  await close();
  if (seen.sessionId !== null && plan.steps.includes("use a closed session")) {
    const response = await fetch(url, {
      method: "POST",
      headers: {
        ...headers,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": "2025-11-25",
        "mcp-session-id": seen.sessionId,
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 99, method: "ping" }),
    });
    await response.body?.cancel();
    say("use a closed session", { saw: response.status });
  }
}
