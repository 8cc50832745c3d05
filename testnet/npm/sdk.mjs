// Checks of one official client against a node: `node sdk.mjs SDK URL`. Reads a line of JSON for each,
// `{"check": …, "model": …}`, and prints a line of JSON with what came of it. Ends with its input.

import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [sdk, url] = process.argv.slice(2);
const messages = [{ role: "user", content: "one two three" }];
const long = [{ role: "user", content: "one two three four five six seven eight nine ten" }];
const schema = { type: "object", properties: { q: { type: "string" } }, required: ["q"] };
const names = ["f", "g"];
const PATIENCE_MS = 30_000;

const openai = () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
  const ask = (model, body, options) => client.chat.completions.create({ model, ...body }, options);
  const tools = names.map((name) => ({ type: "function", function: { name, parameters: schema } }));
  const shown = ({ message, finish_reason }) => ({
    text: message.content ?? "",
    calls: (message.tool_calls ?? []).map((call) => ({
      name: call.function.name,
      q: JSON.parse(call.function.arguments).q,
    })),
    end: finish_reason,
  });
  const whole = async (model, body) => (await ask(model, body)).choices[0];
  return {
    ask,
    tools,
    text: (chunk) => chunk.choices[0]?.delta?.content ?? "",
    whole: async (model, body) => shown(await whole(model, body)),
    gathered: async (model, body) => {
      const stream = client.chat.completions.stream({ model, ...body });
      return shown((await stream.finalChatCompletion()).choices[0]);
    },
    turn: async (model) => {
      const { message } = await whole(model, { messages, tools });
      const results = message.tool_calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "sunny" }));
      return shown(await whole(model, { messages: [...messages, message, ...results], tools }));
    },
    embeddings: async (model) => {
      // the client asks for base64 by itself, and reads it
      const asked = { model, input: ["good day", "good night"], dimensions: 5 };
      const made = await client.embeddings.create(asked);
      const floats = await client.embeddings.create({ ...asked, encoding_format: "float" });
      const vectors = ({ data }) => data.map(({ embedding }) => [...embedding]);
      return { vectors: vectors(made), floats: vectors(floats) };
    },
  };
};

const anthropic = () => {
  const client = new Anthropic({ baseURL: url, apiKey: "unused", maxRetries: 0 });
  const limited = (model, body) => ({ model, max_tokens: 4000, ...body });
  const ask = (model, body, options) => client.messages.create(limited(model, body), options);
  const tools = names.map((name) => ({ name, input_schema: schema }));
  const shown = ({ content, stop_reason }) => ({
    text: content.map((block) => (block.type === "text" ? block.text : "")).join(""),
    calls: content
      .filter((block) => block.type === "tool_use")
      .map((block) => ({ name: block.name, q: block.input.q })),
    end: stop_reason,
  });
  return {
    ask,
    tools,
    text: (event) => (event.delta?.type === "text_delta" ? event.delta.text : ""),
    whole: async (model, body) => shown(await ask(model, body)),
    gathered: async (model, body) => shown(await client.messages.stream(limited(model, body)).finalMessage()),
    turn: async (model) => {
      const { content } = await ask(model, { messages, tools });
      const results = content
        .filter((block) => block.type === "tool_use")
        .map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "sunny" }));
      const turns = [...messages, { role: "assistant", content }, { role: "user", content: results }];
      return shown(await ask(model, { messages: turns, tools }));
    },
  };
};

const client = { openai, anthropic }[sdk]();

/** All pieces of a stream, as they come. */
async function pieces(model, body) {
  let text = "";
  for await (const piece of await client.ask(model, { ...body, stream: true })) text += client.text(piece);
  return { text };
}

/** Leaves an answer: before it begins, after so many tokens of a stream, or whole as it was asked. */
async function leave(model, phase) {
  const leaving = new AbortController();
  const body = { messages: long, stream: phase !== "whole" };
  const asked = client.ask(model, body, { signal: leaving.signal });
  asked.catch(() => {});
  let tokens = { first: 1, middle: 4 }[phase];
  if (tokens) {
    for await (const piece of await asked) {
      if (client.text(piece) && --tokens === 0) break;
    }
  } else {
    await new Promise((done) => setTimeout(done, 500));
  }
  leaving.abort();
  return { left: phase };
}

const checks = {
  chat: (model) => client.whole(model, { messages }),
  stream: (model) => pieces(model, { messages }),
  gathered: (model) => client.gathered(model, { messages }),
  tools: (model) => client.whole(model, { messages, tools: client.tools }),
  "streamed tools": (model) => client.gathered(model, { messages, tools: client.tools }),
  turn: (model) => client.turn(model),
  embeddings: (model) => client.embeddings(model),
};
for (const phase of ["early", "first", "middle", "whole"]) {
  checks[`leave ${phase}`] = (model) => leave(model, phase);
}

/** What a check came to: its own answer, or the exception that it ended in. */
function outcome({ check, model }) {
  const ran = checks[check](model).catch((error) => ({
    raised: error.constructor.name,
    status: error.status,
    message: error.message,
    // a client's own exceptions stand below one of their own
    own: error instanceof OpenAI.OpenAIError || error instanceof Anthropic.AnthropicError,
  }));
  const late = new Promise((done) => {
    setTimeout(() => done({ raised: "none", message: `nothing after ${PATIENCE_MS} ms` }), PATIENCE_MS).unref();
  });
  return Promise.race([ran, late]);
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await outcome(JSON.parse(line))));
}
